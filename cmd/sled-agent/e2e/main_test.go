package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// programs is the directory that the programs under test were built into. The
// agent finds propolis-sim beside itself.
var programs string

// atOnce is how many tests run at the same time, whatever the number of
// processors: they wait for deadlines most of the time.
const atOnce = 16

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce)) // It is a number.
	}
	dir, err := os.MkdirTemp("", "sled-e2e-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// given tells whether a flag was set on the command line.
func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// build builds the programs. The simulator is not under test here, so it does
// without the race detector.
func build(dir string) error {
	for _, name := range []string{"sled-agent", "propolis-sim"} {
		args := []string{"build", "-o", dir + string(filepath.Separator)}
		if underRace && name == "sled-agent" {
			args = append(args, "-race")
		}
		args = append(args, "github.com/sledagent/sledagent/cmd/"+name)
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

func program(name string) string { return filepath.Join(programs, name) }
