package illumos

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

const module = "github.com/sledagent/sledagent"

// programs is the directory that the programs under test were built into.
var programs string

// atOnce is how many tests run at the same time, whatever the number of
// processors: they wait most of the time.
const atOnce = 8

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// slow is set for make test-slow: these tests take the better part of a minute.
var slow = os.Getenv("SLOW_TESTS") == "1"

func run(m *testing.M) int {
	if !slow {
		return m.Run() // every test skips, and nothing is built for it
	}
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce)) // It is a number.
	}
	dir, err := os.MkdirTemp("", "sled-illumos-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "illumos:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	// The race detector is the e2e suite's, on the same agent.
	for _, name := range []string{"sled-agent", "propolis-sim"} {
		if err := build(name); err != nil {
			fmt.Fprintln(os.Stderr, "illumos:", err)
			return 1
		}
	}
	return m.Run()
}

func build(name string) error {
	args := []string{"build", "-o", program(name), module + "/cmd/" + name}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}

func program(name string) string { return filepath.Join(programs, name) }
