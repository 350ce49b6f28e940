package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// waitLimit bounds each wait. It is generous, since durations are not asserted here.
const waitLimit = 2 * time.Minute

// slowTests, set by SLOW_TESTS=1, adds the tests that take minutes.
var slowTests = os.Getenv("SLOW_TESTS") == "1"

// programs is the directory that the programs under test were built into.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// There are more parallel tests than processors: most of them wait for deadlines.
	atOnce := "24"
	if backendName == "illumos" {
		atOnce = "8" // there, each step of a zone is a command
	}
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", atOnce) // It is a valid number.
	}
	var err error
	if programs, err = os.MkdirTemp("", "sled-e2e-programs-"); err == nil {
		defer os.RemoveAll(programs)
		err = buildPrograms()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// The simulator is not under test and is built without the race detector. So is, usually, the agent with
// failpoints: its tests start so many processes that the detector would double their time.
func buildPrograms() error {
	var withRace []string
	if raceDetector() {
		withRace = []string{"-race"}
	}
	if err := build(program("sled-agent"), "sled-agent", withRace...); err != nil {
		return err
	}
	if err := buildFailpointAgent(program(failpointAgent), firstVersion); err != nil {
		return err
	}
	return errors.Join(build(program("propolis-sim"), "propolis-sim"), build(program("sled-zone-init"), "sled-zone-init"))
}

const (
	// failpointAgent is the agent that kills itself at a configured step.
	failpointAgent = "sled-agent-failpoint"
	// firstVersion is its version.
	firstVersion = "e2e-1"
)

func buildFailpointAgent(path, version string) error {
	flags := []string{"-tags", "failpoint", "-ldflags", "-X main.version=" + version}
	if raceDetector() && slowTests {
		flags = append(flags, "-race")
	}
	return build(path, "sled-agent", flags...)
}

// program returns the path of a built program. The agent finds propolis-sim beside itself.
func program(name string) string { return filepath.Join(programs, name) }

// build builds one of this module's commands.
func build(path, command string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	if out, err := exec.Command("go", append(args, "github.com/sledagent/sledagent/cmd/"+command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return nil
}

// raceDetector reports whether this program was built with the race detector.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// slow skips a test unless SLOW_TESTS=1.
func slow(t *testing.T) {
	t.Helper()
	if !slowTests {
		t.Skip("part of make test-slow (SLOW_TESTS=1)")
	}
}

// waitFor waits until holds returns "". Any other result says what is missing.
func waitFor(t testing.TB, holds func() (missing string)) {
	t.Helper()
	for start := time.Now(); ; {
		missing, took := holds(), time.Since(start)
		if missing == "" {
			return
		}
		if took > waitLimit {
			t.Fatalf("after %v still: %s", waitLimit, missing)
		}
		// The longer the wait, the longer the pauses between checks.
		pause(min(10*time.Millisecond+took/20, 100*time.Millisecond))
	}
}

// pause waits for things that must not happen.
func pause(d time.Duration) { <-time.After(d) }

// bounded returns a context for one wait.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

// must fails the test with the first error.
func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
