package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/golden"
)

func TestGoldenOutput(t *testing.T) {
	t.Parallel()
	s := newSledWithPast(t)
	for _, c := range []struct {
		file, line string
		options    []option
	}{
		{"list-wide.txt", "vmm list -o wide", []option{columns80}},
		{"list-ended-wide.txt", "vmm list --ended -o wide", nil},
		{"list-name.txt", "vmm list -o name", nil},
		{"show-stuck.yaml", "vmm show 81bc -o yaml", nil},
		{"events-one.yaml", "events 52c0 -o yaml", nil},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			golden.Check(t, c.file, s.must(c.line, c.options...).out)
		})
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	s := newSled(t, well(), stopping())
	s.api.answers(200, updated{new(record(vmm.WireStopping, 9))})
	ids := wellID.String() + "\n" + stopID.String() + "\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"vmm", "list", "-o", "name"}, ids},
		{[]string{"vmm", "stop", "--all", "-o", "name"}, ids},
		{[]string{"vmm", "stop", "db-1", "-o", "name"}, stopID.String() + "\n"},
		{[]string{"vmm", "show", "db-1", "-o", "name"}, stopID.String() + "\n"},
		{[]string{"vmm", "register", "--id", wellID.String(), "-o", "name"}, wellID.String() + "\n"},
		{[]string{"vmm", "list", "--jq", ".[].hostname"}, "web-1\ndb-1\n"},
		{[]string{"vmm", "list", "--jq", ".[1] | {g: .record.vmm_state.gen, s: .stop.grace_ns, id}"}, `{"g":9,"id":"` + stopID.String() + `","s":600000000000}` + "\n"},
		{[]string{"vmm", "show", "db-1", "-o", "json", "--jq", ".events | length"}, "4\n"},
		{[]string{"vmm", "show", "db-1", "--jq", ".nothing"}, "null\n"},
		{[]string{"events", "db-1", "--jq", ".kind"}, "propolis\nstop\nasked\npropolis\n"},
		{[]string{"vmm", "list", "-o", `template={{range .}}{{.hostname}} {{.record.vmm_state.gen}};{{end}}`}, "web-1 7;db-1 9;"},
		{[]string{"vmm", "list", "--selector", "hostname=none", "-o", "yaml"}, "[]\n"},
	} {
		r := run(t.Context(), append([]string{"--socket", s.socket}, c.args...))
		if r.code != exitDone || r.out != c.want {
			t.Errorf("%q: exit %d, %q, want %q\n%s", c.args, r.code, r.out, c.want, r.err)
		}
	}
}

func TestFormatMistakes(t *testing.T) {
	t.Parallel()
	s := newSled(t, well())
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-o", "jsonpath={.id}"}, exitUsage, "there is no jsonpath; use --jq"},
		{[]string{"-o", "template={{"}, exitUsage, "-o template: "},
		{[]string{"-o", "template={{.id.x.y}}"}, exitOther, "can't evaluate field id"},
		{[]string{"--jq", ".["}, exitUsage, "--jq .[: "},
		{[]string{"--jq", "nosuch"}, exitUsage, "function not defined: nosuch"},
		{[]string{"--jq", ".[0].hostname + 1"}, exitOther, "--jq .[0].hostname + 1: "},
		{[]string{"--jq", ".", "-o", "yaml"}, exitUsage, "--jq prints JSON, not -o yaml"},
	} {
		r := run(t.Context(), append([]string{"--socket", s.socket, "vmm", "list"}, c.args...))
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%q: exit %d, %s", c.args, r.code, r.err)
		}
	}
	if r := s.run("vmm kill web-1 -o svg"); r.code != exitUsage || len(s.agent.Killed()) > 0 || !strings.Contains(r.err, "draws nothing") {
		t.Errorf("exit %d, %s", r.code, r.err)
	}
	if r := s.run("vmm timeline web-1 --part stop"); r.code != exitOther || !strings.Contains(r.err, "has no stop yet") {
		t.Errorf("exit %d, %s", r.code, r.err)
	}
	if r := s.run("agent -o name"); r.code != exitUsage || !strings.Contains(r.err, "prints no VMMs") {
		t.Errorf("exit %d, %s", r.code, r.err)
	}
}

// What is printed as YAML is what is printed as JSON, whatever the texts contain.
func TestYAMLIsTheJSON(t *testing.T) {
	t.Parallel()
	v := stuck()
	v.Hostname = "yes"
	v.Removal.LastError = "a: b # c\n\t\"d\" \x7f \u2028 \U0001f600 <&> 'e'"
	v.Reason, v.Zone, v.Addr = "0x10", "", "1e3"
	s := newSled(t, v)
	var fromYAML, fromJSON any
	if err := yaml.Unmarshal([]byte(s.must("vmm show yes -o yaml").out), &fromYAML); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(fromYAML)
	if err == nil {
		err = json.Unmarshal(again, &fromYAML)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(s.must("vmm show yes -o json").out), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("-JSON +YAML:\n%s", diff)
	}
}
