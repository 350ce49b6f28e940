package sim_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/propolis/sim"
)

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
		"hang":                 "no such mode",
		"hang-":                "no such mode",
		"hang-nothing":         "no such mode",
		"ignore-get":           "no such mode",
		"stay-destroyed":       "no such mode",
		"storm=1":              "takes no value",
		"exit-after":           "needs a value: exit-after=DURATION",
		"exit-after=":          "needs a value",
		"exit-after=5":         `"5" is not a duration`,
		"slow-get=-1s":         "negative",
		"refuse-get=200":       `"200" is not an error status`,
		"refuse-get=x:Y":       `"x:Y" is not an error status`,
		"refuse-get=500*0":     `"0" is not a number of times`,
		"fail-migration=Never": `phase "Never"`,
	} {
		if _, err := sim.ParseFaults(mode); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mode %q: error %v, want %q", mode, err, want)
		}
	}
}
