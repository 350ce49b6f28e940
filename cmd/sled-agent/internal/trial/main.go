package trial

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

// A Program is a command to build: this module's, from cmd/.
type Program struct {
	// Name is the command's, and the file's.
	Name string
	// Flags are for go build.
	Flags []string
}

// Main is a suite's TestMain: it builds the programs and runs the tests, atOnce
// at the same time, whatever the number of processors, since they wait for
// deadlines most of the time. -test.parallel overrules it.
func Main(m *testing.M, atOnce int, build ...Program) {
	flag.Parse()
	os.Exit(run(m, atOnce, build))
}

func run(m *testing.M, atOnce int, build []Program) int {
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce)) // It is a number.
	}
	dir, err := os.MkdirTemp("", "sled-trial-")
	if err == nil {
		defer os.RemoveAll(dir)
		programs = dir
		err = prepare(dir, build)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// prepare builds the programs, and from then on watches the machine.
func prepare(dir string, build []Program) error {
	for _, p := range build {
		if err := Build(Path(p.Name), p); err != nil {
			return err
		}
	}
	return machine.watch(dir)
}

// given tells whether a flag was set on the command line.
func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// Path is where Main has put a program. The agent finds propolis-sim beside itself.
func Path(name string) string { return filepath.Join(programs, name) }

// Build builds one more program.
func Build(path string, p Program) error {
	args := append([]string{"build", "-buildvcs=false", "-o", path}, p.Flags...)
	args = append(args, "github.com/sledagent/sledagent/cmd/"+p.Name)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", p.Name, err, out)
	}
	return nil
}
