package illumostest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/hostdir"
	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

// What a host consists of, see internal/standin.
type (
	Options  = standin.Options
	Zone     = standin.Zone
	Service  = standin.Service
	Link     = standin.Link
	Dataset  = standin.Dataset
	Address  = standin.Address
	Config   = standin.Config
	Resource = standin.Resource
	Prop     = standin.Prop
	Call     = standin.Call
)

// DefaultService is the FMRI of the server in each zone.
const DefaultService = standin.DefaultService

// A Host is an illumos host that a test can look into. Its methods may be used
// by several goroutines at once.
type Host struct {
	t     testing.TB
	host  *hostdir.Host
	store *standin.Store
}

// patience bounds waits for what happens soon unless something is broken.
const patience = 30 * time.Second

// Install makes a host in dir, which must be empty, and takes it down when the
// test ends. The program is built once per test binary.
func Install(t testing.TB, dir string, o Options) *Host {
	t.Helper()
	made, err := hostdir.Make(dir, o, placeProgram)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{t: t, host: made, store: made.Store}
	t.Cleanup(h.Close)
	return h
}

func (h *Host) write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// BinDir is the directory of the commands: the backend's command path.
func (h *Host) BinDir() string { return h.host.BinDir() }

// Program is the program by its own name, for its fault command.
func (h *Host) Program() string { return h.host.Program() }

// ZoneRoot is a mounted dataset, rpool/zones, for zonepaths.
func (h *Host) ZoneRoot() string { return h.host.ZoneRoot() }

// Images are two files that install takes.
func (h *Host) Images() []string { return h.host.Images() }

// VMMDir is what the host has for /dev/vmm: a file per virtual machine.
func (h *Host) VMMDir() string { return filepath.Join(h.store.Dir, "vmm") }

// Zone returns the zone of that name as it is now.
func (h *Host) Zone(name string) (Zone, bool) {
	z, ok := h.store.Zones.Get(name)
	return *z, ok
}

// State is the zone's state, "" if there is no such zone.
func (h *Host) State(zone string) string {
	z, _ := h.Zone(zone)
	return z.State
}

// Zones returns every zone by its name.
func (h *Host) Zones() map[string]*Zone { return h.store.Zones.All() }

// Links returns every datalink by its name.
func (h *Host) Links() map[string]*Link { return h.store.Links.All() }

// Datasets returns every dataset by its name.
func (h *Host) Datasets() map[string]*Dataset { return h.store.Datasets.All() }

// Calls returns the commands that were run so far, in the order of their starts.
func (h *Host) Calls() []Call { return h.store.Calls() }

// Processes returns the processes of a zone, or for "" all that the host has
// started, zoneadmds and zones' inits included. A command that is still running
// is none of them.
func (h *Host) Processes(zone string) []int { return h.store.Processes(zone) }

// A Result is what a command printed and its exit status, -1 if it was killed.
type Result struct {
	Exit        int
	Out, ErrOut string
}

// Run runs a command of the host with an empty environment. One that hangs is
// killed after a while.
func (h *Host) Run(name string, args ...string) Result {
	h.t.Helper()
	return h.finish(h.Command(name, args...))
}

func (h *Host) finish(cmd *exec.Cmd) Result {
	h.t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() }).Stop()
	_ = cmd.Wait() // the exit status tells
	return Result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// Command is a command of the host, to be started with an empty environment.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(h.BinDir(), name), args...)
	cmd.Env = []string{}
	return cmd
}

// Eventually waits until is true.
func (h *Host) Eventually(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("after %v it is still not so: %s", patience, what)
		}
	}
}

// Close takes the host down: every process that it started is killed, and a
// command that still runs ends at its next step. It may be called repeatedly.
func (h *Host) Close() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.host.Close(ctx); err != nil {
		h.t.Error(err)
	}
}
