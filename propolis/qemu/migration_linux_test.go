package qemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// guestDir has a guest, made by make guest.
var guestDir = os.Getenv("E2E_GUEST")

// outcomeLimit bounds waits for a guest, on a busy machine without hardware support.
const outcomeLimit = 2 * time.Minute

// A side is a server of real guests in this process.
type side struct {
	*servertest.Client
	addr   string
	api    *server.Server
	record *record
	mu     sync.Mutex
	vm     *machine
}

func newSide(t *testing.T, log zerolog.Logger, live bool) *side {
	t.Helper()
	if guestDir == "" {
		t.Skip("part of make test-guests (E2E_GUEST=DIR)")
	}
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatal(err)
	}
	user, err := FindUser("")
	if err != nil {
		t.Fatal(err)
	}
	s := &side{record: &record{}}
	log = log.Output(zerolog.MultiLevelWriter(zerolog.NewTestWriter(t), s.record))
	host := NewHost(Options{Program: program, Dir: t.TempDir(), User: user, Accel: "tcg", Net: "user", Kernel: filepath.Join(guestDir, "kernel"),
		Initrd: filepath.Join(guestDir, "initrd"), Append: "console=ttyS0 quiet no_timer_check"}, "tcg", log)
	host.live = live
	s.api = server.New(server.Options{Check: host.Check, Log: log, Make: func(vm *server.VM) server.Machine {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.vm = newMachine(host, vm)
		return s.vm
	}})
	h := httptest.NewServer(s.api.Handler())
	t.Cleanup(func() { s.api.Close(); h.CloseClientConnections(); h.Close(); host.Wait() })
	client := h.Client()
	client.Timeout = outcomeLimit
	s.Client, s.addr = &servertest.Client{T: t, Base: h.URL, Do: client.Do}, h.Listener.Addr().String()
	return s
}

func (s *side) machine() *machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vm
}

// status is QEMU's own word on its guest; empty if there is none to ask.
func (s *side) status(ctx context.Context) (status string) {
	var q *qmpClient
	m := s.machine()
	if m == nil {
		return ""
	}
	s.api.Enter(func() { q = m.qmp })
	if q != nil {
		status, _ = statusOf(ctx, q, "query-status")
	}
	return status
}

// says waits until the console has written a text after an offset, and returns the offset after it.
func (s *side) says(text string, from uint64) uint64 {
	s.T.Helper()
	limit := time.After(outcomeLimit)
	for {
		data, _, more := s.machine().ReadConsole(from, maxHistory)
		if i := bytes.Index(data, []byte(text)); i >= 0 {
			return from + uint64(i+len(text))
		}
		if more == nil {
			s.T.Fatalf("the console has not written %q but %q", text, data)
		}
		select {
		case <-more:
		case <-limit:
			s.T.Fatalf("the console has not written %q but %q", text, data)
		}
	}
}

func (s *side) types(line string) {
	s.T.Helper()
	if err := s.machine().WriteConsole(s.T.Context(), []byte(line+"\n")); err != nil {
		s.T.Fatal(err)
	}
}

// A pair is a source with a running guest, whose disk is shared, and a target.
type pair struct {
	t              *testing.T
	source, target *side
	disk           string
	// live: the guest runs while its memory is sent, of which some may get lost without hardware
	// support.
	live bool
	log  zerolog.Logger
}

// with is the pair with another target, for a test within the test.
func (p *pair) with(t *testing.T) *pair {
	t.Helper()
	source := &side{Client: &servertest.Client{T: t, Base: p.source.Base, Do: p.source.Do}, addr: p.source.addr, api: p.source.api,
		record: p.source.record, vm: p.source.machine()}
	return &pair{t: t, source: source, target: newSide(t, p.log.With().Str("side", "target").Logger(), p.live), disk: p.disk, live: p.live, log: p.log}
}

const journalSectors = 128

func newPair(t *testing.T, live bool) *pair {
	t.Helper()
	log := zerolog.New(zerolog.NewTestWriter(t)).With().Timestamp().Logger()
	p := &pair{t: t, log: log, live: live}
	p.source = newSide(t, log.With().Str("side", "source").Logger(), live)
	p.target = newSide(t, log.With().Str("side", "target").Logger(), live)
	p.disk = filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(p.disk, make([]byte, journalSectors*512), 0o600); err != nil {
		t.Fatal(err)
	}
	p.source.Want(p.source.Call("PUT", "/instance", p.spec()), "Created")
	p.source.Want(p.source.Put("Run"), "No Content")
	p.source.says("guest up 1\r\n", 0)
	return p
}

func (p *pair) spec() string {
	body := servertest.SpecWith(`"com1":{"type":"serial_port","component":{"num":"com1"}},` +
		`"file":{"type":"file_storage_backend","component":{"path":"` + p.disk + `","readonly":false,"block_size":512,"workers":null}},` +
		`"blob":{"type":"blob_storage_backend","component":{"base64":"aGVsbG8=","readonly":true}},` +
		`"vda":{"type":"virtio_disk","component":{"backend_id":"file","pci_path":{"bus":0,"device":16,"function":0}}},` +
		`"vdb":{"type":"virtio_disk","component":{"backend_id":"blob","pci_path":{"bus":0,"device":17,"function":0}}},` +
		`"net":{"type":"virtio_network_backend","component":{"vnic_name":"vnic0"}},` +
		`"nic":{"type":"virtio_nic","component":{"backend_id":"net","interface_id":"` + uuid.NewString() + `","pci_path":{"bus":0,"device":8,"function":0}}}`)
	return strings.Replace(body, `"cpus":2,"memory_mb":1024`, `"cpus":1,"memory_mb":128`, 1)
}

// migrate asks the target for a migration from an address, and returns the answer.
func (p *pair) migrate(from string) servertest.Reply {
	p.t.Helper()
	body := servertest.MigrationTarget
	i, j := strings.Index(body, `"replace_components"`), len(body)-len(`}}}`)
	body = body[:i] + `"replace_components":{"net":{"component":"VirtioNetworkBackend","spec":{"vnic_name":"vnic1"}}}` + body[j:]
	body = strings.Replace(body, `"[fd00::7]:12400"`, fmt.Sprintf("%q", from), 1)
	return p.target.Call("PUT", "/instance", body)
}

// neverTwice asks both QEMUs all the time whether their guests run, until the test ends. The target
// is asked first: once its guest runs, it goes on, so the source's must not run afterwards.
func (p *pair) neverTwice() {
	ctx, cancel := context.WithCancel(context.Background())
	var watched sync.WaitGroup
	asked := 0
	watched.Go(func() {
		for ctx.Err() == nil {
			asked++
			time.Sleep(time.Millisecond) // sleep: the guests need the processor
			if p.target.status(ctx) == "running" && p.source.status(ctx) == "running" {
				p.t.Error("the guest runs on both sides")
				return
			}
		}
	})
	p.t.Cleanup(func() {
		cancel()
		watched.Wait()
		p.t.Logf("both sides were asked %d times", asked)
	})
}

// relay returns a relay to the source that also checks that the guest does not run where it must not.
func (p *pair) relay(at func(*pair, word) bool) *relay {
	return newRelay(p.t, p.source.addr, func(w word) bool {
		if w == stream && p.live {
			if status := p.source.status(p.t.Context()); status != "running" {
				p.t.Errorf("at the first piece of memory, the source's QEMU is %q", status)
			}
		}
		if w == loaded || w == yours {
			if status := p.target.status(p.t.Context()); status != "paused" {
				p.t.Errorf("before %q, the target's QEMU is %q", w, status)
			}
			if status := p.source.status(p.t.Context()); status != "postmigrate" {
				p.t.Errorf("before %q, the source's QEMU is %q", w, status)
			}
		}
		return at(p, w)
	})
}

// follow returns the states and phases that a server shows until it has one of these states.
func follow(c *side, until ...server.State) (seen []string) {
	c.T.Helper()
	for gen := uint64(0); !c.T.Failed(); {
		v := c.Monitor(gen)
		text := string(v.State)
		if m := v.Migration.In; m != nil {
			text += " in " + string(m.State)
		}
		if m := v.Migration.Out; m != nil {
			text += " out " + string(m.State)
		}
		seen = append(seen, text)
		if slices.Contains(until, v.State) {
			return seen
		}
		gen = v.Gen + 1
	}
	return seen
}

// last returns the last of what a server shows until it has one of these states.
func last(c *side, until ...server.State) string {
	c.T.Helper()
	seen := append([]string{""}, follow(c, until...)...)
	return seen[len(seen)-1]
}

// A guest goes on at the target where it was: its memory, its console and its disk.
func TestRealGuestMigrates(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	p.source.types("fill 16")
	p.source.says("guest filled 16 MiB", 0)
	p.source.types("churn")
	p.source.types("journal")
	p.neverTwice()
	r := p.relay(func(*pair, word) bool { return true })
	p.target.Want(p.migrate(r.addr), "Created")
	if got := last(p.target, server.Running, server.Failed); got != "Running in Finish" {
		t.Fatalf("the target ends %q", got)
	}
	if got := last(p.source, server.Destroyed, server.Failed); got != "Destroyed out Finish" {
		t.Errorf("the source ends %q", got)
	}
	at := p.target.says("guest up ", p.source.machine().ConsoleEnd())
	p.target.says("guest journal full", 0)
	data, _, _ := p.target.machine().ReadConsole(0, maxHistory)
	if n := strings.Count(string(data), "guest disks"); n != 1 {
		t.Errorf("the guest has started %d times: %q", n, data[:min(at, uint64(len(data)))])
	}
	disk, err := os.ReadFile(p.disk)
	if err != nil {
		t.Fatal(err)
	}
	for n := range journalSectors {
		if got := binary.LittleEndian.Uint64(disk[n*512:]); got != uint64(n+1) {
			t.Fatalf("sector %d has %d", n, got)
		}
	}
	if got := p.target.Call("GET", "/instance/spec", ""); !strings.Contains(got.Body, "vnic1") {
		t.Errorf("the target's spec is %s", got.Body)
	}
	p.target.types("reboot")
	p.target.says("guest disks", at)
	p.target.Await(server.Running)
	p.target.Want(p.target.Put("Stop"), "No Content")
	p.target.Await(server.Destroyed)
}

// qemuEnds does something and waits until QEMU has ended.
func (s *side) qemuEnds(do func(*machine)) {
	var c *child
	s.api.Enter(func() { c = s.vm.child })
	do(s.machine())
	<-c.exited
}

// until waits, in a relay, for what will happen.
func (s *side) until(happened func(*machine) bool) {
	for is := false; !is; s.api.Enter(func() { is = happened(s.vm) }) {
		time.Sleep(10 * time.Millisecond) // sleep: it is not told
	}
}

func killQEMU(m *machine) { m.vm.Enter(m.child.kill) }

// Until the guest is given to the target, whatever fails makes it go on at the source, where it can
// migrate again.
func TestRealGuestMigrationFails(t *testing.T) {
	t.Parallel()
	for name, live := range map[string]bool{"paused": false, "live": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := newPair(t, live)
			for name, do := range failures() {
				t.Run(name, func(t *testing.T) { whole.with(t).fails(do, name == closesTarget, reasons[name]) })
			}
			if live {
				return
			}
			whole.migrate(whole.source.addr)
			if got := last(whole.target, server.Running, server.Failed); got != "Running in Finish" {
				t.Errorf("the target ends %q", got)
			}
		})
	}
}

// closesTarget is the failure after which the target cannot be asked.
const closesTarget = "target closed at stream"

// reasons are what the source logs of failures at the target.
var reasons = map[string]string{
	"target has another disk":     `the other side: component \"file\": its file is `,
	"target cannot run the guest": "target cannot run the guest: ",
}

// fails tries a migration that fails, after which the source logs why.
func (p *pair) fails(do func(*pair, word) bool, closes bool, why string) {
	p.t.Helper()
	p.neverTwice()
	r := p.relay(do)
	before, logged := p.source.machine().ConsoleEnd(), len(p.source.record.text())
	p.migrate(r.addr)
	if !closes {
		if got := last(p.target, server.Running, server.Failed); got != "Failed in Error" {
			p.t.Errorf("the target ends %q", got)
		}
	}
	if got := last(p.source, server.Running, server.Failed, server.Destroyed); got != "Running out Error" {
		p.t.Errorf("the source goes on as %q", got)
	}
	if !strings.Contains(p.source.record.text()[logged:], why) {
		p.t.Errorf("the source does not say %q", why)
	}
	p.source.says("guest up ", before)
}

// failures are functions that are called at each word of a migration, by which it fails. If one
// returns false, the connection is broken.
func failures() map[string]func(*pair, word) bool {
	breakAt := func(at word) func(*pair, word) bool {
		return func(_ *pair, w word) bool { return w != at }
	}
	at := func(at word, do func(*pair)) func(*pair, word) bool {
		return func(p *pair, w word) bool {
			if w == at {
				do(p)
			}
			return true
		}
	}
	return map[string]func(*pair, word) bool{
		"broken at offered":              breakAt(offered),
		"broken at ready":                breakAt(ready),
		"broken at stream":               breakAt(stream),
		"broken at paused":               breakAt(paused),
		"broken at loaded":               breakAt(loaded),
		"target's QEMU killed at stream": at(stream, func(p *pair) { p.target.qemuEnds(killQEMU) }),
		"target's QEMU killed at loaded": func(p *pair, w word) bool {
			if w == loaded {
				p.target.qemuEnds(killQEMU)
			}
			return w != loaded
		},
		closesTarget: at(stream, func(p *pair) { p.target.qemuEnds(func(*machine) { p.target.api.Close() }) }),
		"target has another disk": func(p *pair, w word) bool {
			switch w {
			case offered:
				replace(p.t, p.disk)
			case failed: // Both sides may say so.
				if err := os.Rename(p.disk+".old", p.disk); err != nil && !errors.Is(err, os.ErrNotExist) {
					p.t.Error(err)
				}
			}
			return true
		},
		"target cannot run the guest": func() func(*pair, word) bool {
			var f *os.File
			return func(p *pair, w word) bool {
				switch w {
				case loaded: // QEMU has released the disk at the source and not taken it at the target.
					f = lock(p.t, p.disk)
				case refused:
					f.Close()
				}
				return true
			}
		}(),
	}
}

// replace puts a copy in a file's place.
func replace(t *testing.T, path string) {
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.Rename(path, path+".old")
	}
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// lock takes a file's locks, as a QEMU does whose guest runs, until the file is closed.
func lock(t *testing.T, path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err != nil {
		t.Error(err)
	}
	return f
}

// A side that ends, or is asked to stop, during a migration.
func TestRealGuestMigrationEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at             func(*pair, word) bool
		source, target string
	}{
		// It is not known at the source what has become of the guest, so the target alone says so.
		"broken at yours": {func(_ *pair, w word) bool { return w != yours }, "Failed out Finish", "Failed in Error"},
		"yours too late": {func(p *pair, w word) bool {
			if w == yours {
				p.target.until(func(m *machine) bool { return m.ended })
			}
			return true
		}, "Failed out Finish", "Failed in Error"},
		"broken at running": {func(_ *pair, w word) bool { return w != running }, "Failed out Finish", "Running in Finish"},
		"source's QEMU killed at stream": {func(p *pair, w word) bool {
			if w == stream {
				p.source.qemuEnds(killQEMU)
			}
			return true
		}, "Failed out Error", "Failed in Error"},
		"source's QEMU killed at yours": {func(p *pair, w word) bool {
			if w == yours {
				p.source.qemuEnds(killQEMU)
			}
			return true
		}, "Destroyed out Finish", "Running in Finish"},
		"source closed at yours": {func(p *pair, w word) bool {
			if w == yours {
				p.source.qemuEnds(func(*machine) { p.source.api.Close() })
			}
			return true
		}, "", "Running in Finish"},
		"source stopped": {func(p *pair, w word) bool {
			if w == stream {
				p.source.Want(p.source.Put("Stop"), "No Content")
			}
			return true
		}, "Destroyed out Finish", "Running in Finish"},
		"target stopped": {func(p *pair, w word) bool {
			if w == stream {
				p.target.Want(p.target.Put("Stop"), "No Content")
			}
			return true
		}, "Destroyed out Finish", "Destroyed in Finish"},
		"guest powers off": {func(p *pair, w word) bool {
			if w == ready {
				p.source.types("poweroff")
				p.source.until(func(m *machine) bool { return m.halted })
			}
			return true
		}, "Destroyed out Error", "Failed in Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, false)
			p.neverTwice()
			p.migrate(p.relay(c.at).addr)
			for _, s := range []struct {
				*side
				want string
			}{{p.source, c.source}, {p.target, c.target}} {
				if s.want == "" {
					continue
				}
				until := []server.State{server.Destroyed, server.Failed}
				if strings.HasPrefix(s.want, "Running") {
					until = append(until, server.Running)
				}
				if got := last(s.side, until...); got != s.want {
					t.Errorf("got %q, want %q", got, s.want)
				}
			}
			if name == "guest powers off" && !strings.Contains(p.target.record.text(), "the other side: "+errGuestOff.Error()) {
				t.Error("the target does not say why")
			}
			if strings.HasPrefix(c.target, "Running") {
				p.target.says("guest up ", p.target.machine().ConsoleEnd())
			}
		})
	}
}
