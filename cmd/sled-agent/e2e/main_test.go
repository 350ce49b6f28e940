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

func build(dir string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if underRace {
		args = append(args, "-race")
	}
	args = append(args, "github.com/sledagent/sledagent/cmd/sled-agent", "github.com/sledagent/sledagent/cmd/propolis-sim")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

func program(name string) string { return filepath.Join(programs, name) }
