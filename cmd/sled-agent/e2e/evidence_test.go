package e2e

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Before a VM that does not stop is ended by force, evidence of it is collected; it is in its
// bundle as well. A command that hangs delays nothing (E).
func TestEvidenceOfAForcedEnd(t *testing.T) {
	h := newHarness(t, setup{manual: true})
	h.config["evidence"] = section{"commands": []any{
		[]string{"sh", "-c", "echo $0 $1 $2", "{pid}", "{zone}", "{id}"}, []string{"sh", "-c", "echo begun; sleep 600"}}}
	h.start()
	v := faults("ignore-stop").launch(h)
	v.removedAtDeadline(v.stop(longer))
	v.endsDestroyed()
	dir := v.status().Evidence
	if filepath.Dir(dir) != h.state("evidence") {
		t.Fatalf("the evidence is in %q", dir)
	}
	got := map[string]string{}
	for _, path := range entries(dir) {
		text, err := os.ReadFile(path)
		must(t, err)
		got[filepath.Base(path)] = string(text)
	}
	wants := map[string]string{"propolis.txt": "PUT /instance/state Stop 204", "02-sh.txt": "begun\n"}
	if backendName == "process" {
		wants["processes.txt"], wants["files.txt"] = "propolis-sim run", "socket:["
		if os.Geteuid() == 0 {
			wants["stacks.txt"] = "waits in "
		}
	}
	for name, want := range wants {
		if !strings.Contains(got[name], want) {
			t.Errorf("%s is %q, want %q in it", name, got[name], want)
		}
	}
	first := ""
	for name, text := range got {
		if strings.HasPrefix(name, "01-sh-") && strings.HasSuffix(text, " "+v.zone()+" "+v.id.String()+"\n") {
			first = name
		}
	}
	if first == "" {
		t.Errorf("no command was run for a process: %q", got)
	}

	var bundled map[string][]byte
	waitFor(t, func() string {
		made := h.bundles("/" + v.zone())
		if len(made) == 0 {
			return "there is no bundle"
		}
		bundled = unpacked(t, h.call("GET", "/zones/bundles/"+v.zone()+"/"+made[0].ID.Bundle.String(), nil).wants(t, 200).body)
		return ""
	})
	for name, text := range got {
		if !bytes.Equal(bundled["evidence/"+name], []byte(text)) {
			t.Errorf("the bundle has %q as %s", bundled["evidence/"+name], name)
		}
	}
	h.restart()
	if again := v.status().Evidence; again != dir {
		t.Errorf("after a restart the evidence is in %q", again)
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Error("the evidence did not outlive the agent")
	}
}
