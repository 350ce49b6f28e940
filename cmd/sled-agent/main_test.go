package main

import (
	"errors"
	"testing"

	"github.com/sledagent/sledagent/config"
)

// Each error of a configuration is a line that begins with the program's name.
func TestExplain(t *testing.T) {
	t.Parallel()
	_, bad := config.Parse("a.toml", []byte("[log]\nlevel = \"loud\"\n[api]\nlisten = \"nowhere\"\n"))
	for _, v := range []struct {
		err    error
		text   string
		status int
	}{
		{bad, "sled-agent: a.toml: api.listen: \"nowhere\" is not an IP address and port; write for example \"[::1]:12345\"\n" +
			"sled-agent: a.toml: log.level: \"loud\" is not one of trace, debug, info, warn, error\n", 96},
		{fatal{errors.New("no start")}, "sled-agent: no start\n", 95},
		{errors.New("no such flag"), "sled-agent: no such flag\nTry 'sled-agent --help'.\n", 2},
	} {
		if text, status := explain(v.err); text != v.text || status != v.status {
			t.Errorf("%v: %d, %q, want %d, %q", v.err, status, text, v.status, v.text)
		}
	}
}
