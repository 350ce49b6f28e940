package illumostest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

// The parts of a host; see internal/standin.
type (
	Options = standin.Options
	Zone    = standin.Zone
	Link    = standin.Link
	Dataset = standin.Dataset
	Address = standin.Address
	Port    = standin.Port
)

// DefaultService is the FMRI of the server in each zone.
const DefaultService = standin.DefaultService

// A Host is a stand-in illumos host. Its methods are safe for concurrent use.
type Host struct {
	*standin.Host
	t testing.TB
}

// waitLimit bounds waits for events that happen soon unless something is broken.
const waitLimit = 30 * time.Second

// Install creates a host in dir, which must be empty, and closes it when the test
// ends. It builds the program once per test binary.
func Install(t testing.TB, dir string, o Options) *Host {
	t.Helper()
	made, err := standin.Make(dir, o, placeProgram)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{made, t}
	t.Cleanup(h.Close)
	return h
}

// Zone returns the current state of a zone.
func (h *Host) Zone(name string) (Zone, bool) {
	z, ok := h.Host.Zones.Get(name)
	return *z, ok
}

// State returns the zone's state, or "" if it does not exist.
func (h *Host) State(zone string) string {
	z, _ := h.Zone(zone)
	return z.State
}

// Zones returns every zone by its name.
func (h *Host) Zones() map[string]*Zone { return h.Host.Zones.All() }

// Links returns every datalink by its name.
func (h *Host) Links() map[string]*Link { return h.Host.Links.All() }

// Port returns the current state of a port of OPTE.
func (h *Host) Port(name string) (Port, bool) {
	p, ok := h.Host.Ports.Get(name)
	return *p, ok
}

// Datasets returns every dataset by its name.
func (h *Host) Datasets() map[string]*Dataset { return h.Host.Datasets.All() }

// A Result is the output and exit status of a command. Exit is -1 if it was killed.
type Result struct {
	Exit        int
	Out, ErrOut string
}

// Run runs a command of the host with an empty environment. It kills one that hangs
// after a minute.
func (h *Host) Run(name string, args ...string) Result {
	h.t.Helper()
	cmd := h.Command(name, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer time.AfterFunc(2*waitLimit, func() { _ = cmd.Process.Kill() }).Stop()
	_ = cmd.Wait() // the exit status is in the result
	return Result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// Command returns a command of the host with an empty environment.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(h.BinDir(), name), args...)
	cmd.Env = []string{}
	return cmd
}

// Eventually waits until is returns true.
func (h *Host) Eventually(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(waitLimit); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("timed out after %v waiting for: %s", waitLimit, what)
		}
	}
}

// Close kills every process that the host started, and every command that still
// runs. It may be called repeatedly.
func (h *Host) Close() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := h.Host.Close(ctx); err != nil {
		h.t.Error(err)
	}
}

// placeProgram copies the program to path. Another process writes the file: a child
// that another test forks meanwhile could inherit a descriptor of this process, and
// a file that is open for writing cannot be executed.
func placeProgram(path string) error {
	file, err := program()
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", `cat > "$0" && chmod 755 "$0"`, path)
	cmd.Stdin = io.NewSectionReader(file, 0, info.Size())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("place %s: %w: %s", path, err, out)
	}
	return nil
}

// program builds the program once. The file is unlinked, so no cleanup is needed.
var program = sync.OnceValues(func() (*os.File, error) {
	dir, err := os.MkdirTemp("", "illumos-standin")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "illumos-standin")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path,
		"github.com/sledagent/sledagent/zone/illumos/illumostest/cmd/illumos-standin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build illumos-standin: %w\n%s", err, out)
	}
	return os.Open(path)
})
