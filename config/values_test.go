package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValues(t *testing.T) {
	t.Parallel()
	c := &Config{}
	c.Zones.Process.Propolis = []string{"/opt/run-secretly", "run", "{addr}", "--token", "abc", "--password=hunter2",
		"-e", "API_KEY=xyz", "--metadata-secret-file:/etc/s", "--verbose",
		"--password=secret", "--token=abc:passwd1", "--header=Authorization: Bearer x", "--proxy=http://me:pw@host/"}
	values := c.Values()
	want := []string{"/opt/run-secretly", "run", "{addr}", "--token", masked, "--password=" + masked,
		"-e", "API_KEY=" + masked, "--metadata-secret-file:" + masked, "--verbose",
		"--password=" + masked, "--token=" + masked, "--header=Authorization:" + masked, "--proxy=http://" + masked + "@host/"}
	if diff := cmp.Diff(want, values["zones.process.propolis"]); diff != "" {
		t.Errorf("argv (-want +got):\n%s", diff)
	}
	if len(values) != len(c.keys()) {
		t.Errorf("%d values of %d keys", len(values), len(c.keys()))
	}
	text, err := json.Marshal(values)
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("%s, %v", text, err)
	}
	if c.Zones.Process.Propolis[4] != "abc" {
		t.Error("the configuration itself has changed")
	}
}
