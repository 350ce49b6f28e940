package sim_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/propolis/sim"
)

var update = flag.Bool("update", false, "write the table of modes into doc.go")

func TestParseFaults(t *testing.T) {
	t.Parallel()
	f, err := sim.ParseFaults("ignore-stop, hang-get,", "exit-after=5s", "refuse-stop=503:Internal*3", "refuse-run=403:not allowed: no")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ignore-stop", "hang-get", "exit-after=5s", "refuse-stop=503:Internal*3", "refuse-run=403:not allowed: no"}
	if diff := cmp.Diff(want, f.Modes()); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
	if got := (sim.Faults{}).Modes(); len(got) != 0 {
		t.Errorf("no faults are %q", got)
	}
}

func TestParseFaultsRefuses(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{
		"hang":                 "there is no such mode",
		"hang-":                "there is no such mode",
		"hang-nothing":         "there is no such mode",
		"ignore-get":           "there is no such mode",
		"stay-destroyed":       "there is no such mode",
		"storm=1":              "takes no value",
		"exit-after":           "wants a value: exit-after=DURATION",
		"exit-after=":          "wants a value",
		"exit-after=5":         `"5" is no duration`,
		"slow-get=-1s":         "negative",
		"refuse-get=200":       `"200" is no error status`,
		"refuse-get=x:Y":       `"x:Y" is no error status`,
		"refuse-get=500*0":     `"0" is no number of times`,
		"fail-migration=Never": `phase "Never"`,
	} {
		if _, err := sim.ParseFaults(mode); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mode %q: error %v, want %q", mode, err, want)
		}
	}
}

// TestPackageDoc holds the package's documentation against the tables.
func TestPackageDoc(t *testing.T) {
	t.Parallel()
	const begin, end = "// # Faults\n", "// What must not live here:"
	raw, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("doc.go has no part between %q and %q", begin, end)
	}
	want := head + begin + tables() + end + tail
	if *update {
		if err := os.WriteFile("doc.go", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("doc.go is not up to date, run go test -update (-want +got):\n%s", diff)
	}
}

// tables renders the modes and actions as the package's documentation has them.
func tables() string {
	var out strings.Builder
	out.WriteString("//\n")
	item := func(name, does string) {
		line := "//   - " + name + ":"
		for word := range strings.FieldsSeq(does) {
			if len(line)+1+len(word) > 100 {
				fmt.Fprintln(&out, line)
				line = "//    "
			}
			line += " " + word
		}
		fmt.Fprintln(&out, line)
	}
	for _, m := range sim.Modes() {
		item(m.Name+m.Value, m.Does)
	}
	out.WriteString("//\n// CALL is one of get, ensure, run, stop, reboot, monitor, snapshot, spec,\n" +
		"// migration-status and all; STATE is a state in lower case; durations are Go's.\n//\n// # Actions\n//\n")
	for _, a := range sim.Actions() {
		item(a.Name, a.Does)
	}
	out.WriteString("//\n")
	return out.String()
}
