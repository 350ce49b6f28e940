package qemu

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// The tests' QEMU is this program.
func TestMain(m *testing.M) {
	if kind := os.Getenv("FAKE_QEMU"); kind != "" {
		os.Exit(fakeQEMU(kind))
	}
	goleak.VerifyTestMain(m)
}

// fakeQEMU speaks QEMU's protocol as far as a machine uses it. Its guest obeys commands on its console.
func fakeQEMU(kind string) int {
	if kind == "broken" {
		fmt.Fprintln(os.Stderr, "qemu: no such thing")
		return 3
	}
	qmp, console := os.NewFile(qmpFD, "qmp"), os.NewFile(consoleFD, "console")
	says := func(line string) { fmt.Fprintln(qmp, line) }
	said := func(event, reason string) {
		says(fmt.Sprintf(`{"event":%q,"data":{"guest":true,"reason":%q}}`, event, reason))
	}
	says(`{"QMP":{}}`)
	go func() {
		for in := bufio.NewScanner(console); in.Scan(); {
			switch line := in.Text(); line {
			case "poweroff":
				said("SHUTDOWN", "guest-shutdown")
			case "reboot":
				said("RESET", "guest-reset")
				said("RESET", "guest-reset")
			case "panic":
				fmt.Fprintln(console, "Kernel panic")
				said("GUEST_PANICKED", "")
			case "die":
				os.Exit(7)
			case "babble":
				says("babble")
			default:
				fmt.Fprintln(console, line)
			}
		}
	}()
	conts := 0
	for in := bufio.NewScanner(qmp); in.Scan(); {
		var command struct {
			Execute string
			ID      int
		}
		_ = json.Unmarshal(in.Bytes(), &command)
		if command.Execute == "cont" {
			conts++
		}
		if kind == "brief" && command.Execute == "cont" && conts > 1 {
			said("SHUTDOWN", "guest-shutdown")
			says(fmt.Sprintf(`{"error":{"class":"GenericError","desc":"a reset is required"},"id":%d}`, command.ID))
			continue
		}
		if kind == "stuck" && command.Execute == "quit" {
			continue
		}
		if command.Execute == "cont" {
			fmt.Fprintln(console, "hello")
		}
		says(fmt.Sprintf(`{"return":{},"id":%d}`, command.ID))
		switch command.Execute {
		case "system_powerdown":
			if kind != "deaf" {
				said("SHUTDOWN", "guest-shutdown")
			}
		case "system_reset":
			said("RESET", "host-qmp-system-reset")
		case "quit":
			return 0
		}
	}
	return 0
}

// A rig is a server with the tests' QEMU.
type rig struct {
	*servertest.Client
	dir     string
	host    *Host
	machine *machine
	record
}

// A record keeps a log.
type record struct {
	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer.
func (r *record) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(line)
}

// text returns the log.
func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func newRig(t *testing.T, kind string) *rig {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{dir: t.TempDir()}
	script := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nFAKE_QEMU=%s exec '%s'\n", kind, program), 0o700); err != nil {
		t.Fatal(err)
	}
	r.host = NewHost(Options{Program: script, Dir: r.dir}, "tcg", zerolog.New(r))
	s := server.New(server.Options{Make: r.make, Check: r.host.Check, Newest: dropshot.Version{7}, Log: zerolog.New(r)})
	r.Client = servertest.OverSocket(t, s.Handler(), s.Close)
	t.Cleanup(func() {
		s.Close()
		r.host.Wait()
		if left, err := os.ReadDir(r.dir); err != nil || len(left) != 1 || left[0].Name() != ConsoleFile {
			t.Errorf("left: %v, %v", left, err)
		}
	})
	return r
}

func (r *rig) make(vm *server.VM) server.Machine {
	m := r.host.Make(vm)
	r.machine = m.(*machine)
	return m
}

func (r *rig) ensure() servertest.Reply {
	return r.Call("PUT", "/instance", servertest.SpecWith(`"com1":{"type":"serial_port","component":{"num":"com1"}}`))
}

// soon requests a state, after the guest has had some seconds.
func (r *rig) soon(state, seconds string) {
	r.T.Helper()
	r.Want(r.Put7(state, seconds), "No Content")
}

// now requests a state by force.
func (r *rig) now(state string) {
	r.T.Helper()
	r.Want(r.Put7(state, "null"), "No Content")
}

// types sends a line to the guest's console.
func (r *rig) types(line string) {
	r.T.Helper()
	if err := r.machine.WriteConsole(r.T.Context(), []byte(line+"\n")); err != nil {
		r.T.Error(err)
	}
}

// states returns all states of the VM in the order of their generations, from the log, whose lines
// may be in another.
func (r *rig) states() string {
	byGen := map[uint64]string{}
	for line := range strings.Lines(r.text()) {
		var l struct {
			Message, State string
			Gen            uint64
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Message == "VM changed" {
			byGen[l.Gen] = l.State
		}
	}
	var states []string
	for _, gen := range slices.Sorted(maps.Keys(byGen)) {
		states = append(states, byGen[gen])
	}
	return strings.Join(states, " ")
}

// entered waits until the VM has been in a state, which a monitor may miss.
func (r *rig) entered(state string) {
	r.T.Helper()
	r.logs(func() bool { return slices.Contains(strings.Fields(r.states()), state) })
}

// logs waits until the log has something. Lines are written after a change can be seen.
func (r *rig) logs(has func() bool) {
	r.T.Helper()
	for end := time.Now().Add(servertest.WaitLimit); !has(); {
		if time.Now().After(end) {
			r.T.Fatalf("states %s, log:\n%s", r.states(), r.text())
		}
		time.Sleep(time.Millisecond) // sleep: between two looks of a poll with a deadline
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	const boots, stops = "Creating Starting Running", " Stopping Stopped Destroyed"
	for name, c := range map[string]struct {
		kind string
		do   func(*rig)
		// end is the last state, states all, in which words are in the log.
		end    server.State
		states string
		words  string
	}{
		"a stop":             {"good", func(r *rig) { r.now("Stop") }, server.Destroyed, boots + stops, "QEMU has ended"},
		"QEMU does not quit": {"stuck", func(r *rig) { r.now("Stop") }, server.Destroyed, boots + stops, "QEMU is killed"},
		"a soft stop":        {"good", func(r *rig) { r.soon("Stop", "60") }, server.Destroyed, boots + stops, "guest has shut down"},
		"a deaf guest":       {"deaf", func(r *rig) { r.soon("Stop", "1") }, server.Destroyed, boots + stops, "guest did not shut down in time"},
		"it powers off":      {"good", func(r *rig) { r.types("poweroff") }, server.Destroyed, boots + stops, ""},
		"it panics":          {"good", func(r *rig) { r.types("panic") }, server.Failed, boots + " Failed", "guest has panicked"},
		"QEMU ends":          {"good", func(r *rig) { r.types("die") }, server.Failed, boots + " Failed", "exit status 7"},
		"QEMU babbles":       {"good", func(r *rig) { r.types("babble") }, server.Failed, boots + " Failed", "QEMU has ended by itself"},
		"a reboot and a stop": {"good", func(r *rig) { r.now("Reboot"); r.now("Stop") }, server.Destroyed,
			boots + " Rebooting Running" + stops, ""},
		"a soft reboot and a stop": {"good", func(r *rig) { r.soon("Reboot", "60"); r.entered("Rebooting"); r.now("Stop") }, server.Destroyed,
			boots + " Rebooting Running" + stops, "guest has shut down"},
		"it powers off while it reboots": {"good", func(r *rig) { r.types("reboot\npoweroff") }, server.Destroyed,
			boots + " Rebooting Running" + stops, ""},
		"it powers off after a reset": {"brief", func(r *rig) { r.types("reboot") }, server.Destroyed,
			boots + " Rebooting Running" + stops, ""},
		"it reboots, and a stop": {"good", func(r *rig) { r.types("reboot"); r.entered("Rebooting"); r.now("Stop") }, server.Destroyed,
			boots + " Rebooting Running" + stops, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.kind)
			r.Want(r.ensure(), "Created")
			r.now("Run")
			r.Await(server.Running)
			c.do(r)
			r.Await(c.end)
			r.logs(func() bool { return r.states() == c.states && strings.Contains(r.text(), c.words) })
		})
	}
}

// A QEMU that cannot make the VM fails the request for it, and the log has its reason. The next VM is another.
func TestMachineNotMade(t *testing.T) {
	t.Parallel()
	r := newRig(t, "broken")
	r.Want(r.ensure(), "Internal Server Error Internal")
	r.logs(func() bool {
		return r.states() == "Creating Failed" && strings.Contains(r.text(), "exit status 3: qemu: no such thing")
	})
	r.Want(r.ensure(), "Internal Server Error Internal")
}

// What the guest writes is kept, and a server that is closed leaves nothing of a VM that runs.
func TestMachineConsole(t *testing.T) {
	t.Parallel()
	r := newRig(t, "good")
	r.Want(r.ensure(), "Created")
	r.now("Run")
	r.Await(server.Running)
	r.types("echoed")
	var got []byte
	for next := uint64(0); !strings.HasSuffix(string(got), "echoed\n"); {
		data, after, more := r.machine.ReadConsole(next, 100)
		got, next = append(got, data...), after
		if len(data) > 0 {
			continue
		}
		select {
		case <-more:
		case <-time.After(servertest.WaitLimit):
			t.Fatalf("the console has %q", got)
		}
	}
	if string(got) != "hello\nechoed\n" {
		t.Errorf("got %q", got)
	}
}
