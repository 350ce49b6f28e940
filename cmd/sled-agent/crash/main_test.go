package crash

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// programs is the directory that the programs under test were built into.
var programs string

// atOnce is how many tests run at the same time, whatever the number of
// processors: they wait for deadlines most of the time.
const atOnce = 12

// firstVersion is what the agent says it is.
const firstVersion = "crash-1"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce)) // It is a number.
	}
	dir, err := os.MkdirTemp("", "sled-crash-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	// The simulator is not under test here, so it does without the race detector.
	for _, build := range []func() error{
		func() error { return buildAgent(program("sled-agent"), firstVersion) },
		func() error { return build(program("propolis-sim"), "propolis-sim") },
	} {
		if err := build(); err != nil {
			fmt.Fprintln(os.Stderr, "crash:", err)
			return 1
		}
	}
	return m.Run()
}

// given tells whether a flag was set on the command line.
func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// buildAgent builds the agent with its failpoints and a version of its own.
func buildAgent(path, version string) error {
	flags := []string{"-tags", "failpoint", "-ldflags", "-X main.version=" + version}
	// The e2e suite has the race detector in the same agent; here it would double
	// the time, which is mostly starts of processes.
	if underRace && everywhere {
		flags = append(flags, "-race")
	}
	return build(path, "sled-agent", flags...)
}

func build(path, command string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	args = append(args, "github.com/sledagent/sledagent/cmd/"+command)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return nil
}

func program(name string) string { return filepath.Join(programs, name) }
