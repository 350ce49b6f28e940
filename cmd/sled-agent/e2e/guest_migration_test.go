package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// A guestMove is a migration of a real guest from one agent to another.
type guestMove struct {
	source *guest
	target *vm
	id     uuid.UUID
}

// bootForMove starts a guest with a disk, and registers its target with the other agent.
func bootForMove(from, to *harness) guestMove {
	from.t.Helper()
	disk := filepath.Join(from.t.TempDir(), "disk.raw")
	must(from.t, os.WriteFile(disk, make([]byte, 1<<20), 0o600))
	o := wire.BodyOptions{InstanceID: uuid.New(), CPUs: 1, MemoryMiB: 128, NICs: 1, Disks: []string{disk}}
	o.PropolisAddr = freeAddr(from.t)
	v := from.newVMWith(o).register()
	v.inQEMU("")
	v.launch()
	m := guestMove{source: v.connected(), id: uuid.New()}
	m.source.says("guest up 1\r\n")
	o.PropolisAddr, o.MigrationID = freeAddr(to.t), &m.id
	m.target = to.newVMWith(o).register()
	m.target.inQEMU("")
	return m
}

// begin asks the target's agent for the migration, as Nexus does.
func (m guestMove) begin() {
	m.source.t.Helper()
	m.beginOver(m.source.serverAddr.String())
}

// beginOver is begin with another address of the source.
func (m guestMove) beginOver(source string) {
	m.source.t.Helper()
	m.target.call("PUT", m.target.path()+"/state", migrateBody(source)).wants(m.source.t, http.StatusOK)
}

// hold begins the migration and holds it before the first piece of memory: the source's QEMU is stopped.
func (m guestMove) hold() {
	m.source.t.Helper()
	m.source.signal("qemu-system", syscall.SIGSTOP)
	m.begin()
	for _, v := range []*vm{m.source.vm, m.target} {
		v.row("under way", func(r nexussim.Row) bool { return migrationOf(r).State == vmm.MigrationInProgress })
	}
	m.target.identifyServer()
}

// A real guest migrates from one agent's sled to another's and does not notice.
func TestRealGuestMigrates(t *testing.T) {
	to := guestHarness(t)
	from := newHarness(t, setup{propolis: section{"api_version": "7.0.0"}, sequential: true})
	t.Run("to the end", func(t *testing.T) {
		m := bootForMove(from.in(t), to.with(t))
		m.source.mayEnd()
		m.source.types("fill 32")
		m.source.says("guest filled 32 MiB")
		m.begin()
		m.target.reaches(vmm.WireRunning)
		m.target.identifyServer()
		g := m.target.connected()
		g.says("guest filled 32 MiB")
		g.says("guest up ")
		g.types("fill 1")
		g.says("guest filled 33 MiB")
		migrationSide{m.source.vm, vmm.WireDestroyed}.concludes(m.id, vmm.MigrationCompleted)
		migrationSide{m.target, ""}.concludes(m.id, vmm.MigrationCompleted)
		g.softly("stopped", far, "")
		g.says("guest power button")
		g.endsDestroyed()
		if strings.Contains(g.text, "guest up 0\r\n") {
			t.Error("the guest was restarted")
		}
	})
	t.Run("the source's Propolis is killed", func(t *testing.T) {
		m := bootForMove(from.in(t), to.with(t))
		m.hold()
		m.target.mayEnd()
		m.source.signal("propolis-qemu run", syscall.SIGKILL)
		m.source.endsFailed()
		m.target.endsFailed()
		m.target.migrationFailed()
	})
	t.Run("the target's Propolis is killed", func(t *testing.T) {
		m := bootForMove(from.in(t), to.with(t))
		m.hold()
		m.target.signal("propolis-qemu run", syscall.SIGKILL)
		m.target.endsFailed()
		m.source.signal("qemu-system", syscall.SIGCONT)
		m.source.text = ""
		m.source.row("back from a migration", func(r nexussim.Row) bool {
			return r.State() == vmm.WireRunning && migrationOf(r).State == vmm.MigrationFailed
		})
		m.source.says("guest up ")
		m.source.stopAndEnd()
	})
}

var sides = map[string]func(guestMove) *vm{
	"source": func(m guestMove) *vm { return m.source.vm },
	"target": func(m guestMove) *vm { return m.target },
}

// An agent that is killed during a migration, or is away until it is over, changes nothing: the guest goes on at the
// target, it has never run on both sides, and both sides have the right end.
func TestRealGuestMigratesWhileAgentsAreKilled(t *testing.T) {
	to := guestHarnessWith(t, setup{restarts: true})
	from := guestHarnessWith(t, setup{restarts: true, sequential: true})
	for side, of := range sides {
		for moment, do := range map[string]func(m guestMove, v *vm){
			"at once":       func(m guestMove, v *vm) { m.begin(); v.restart() },
			"under way":     func(m guestMove, v *vm) { m.hold(); v.restart(); m.goOn() },
			"until the end": func(m guestMove, v *vm) { m.hold(); m.misses(v) },
		} {
			t.Run(side+" "+moment, func(t *testing.T) {
				m := bootForMove(from.in(t), to.with(t))
				m.source.mayEnd()
				all := m.source.connected()
				do(m, of(m))
				m.target.reaches(vmm.WireRunning)
				g := m.target.connected()
				g.runsOn()
				m.leftOnce(all, g)
				migrationSide{m.source.vm, vmm.WireDestroyed}.concludes(m.id, vmm.MigrationCompleted)
				migrationSide{m.target, ""}.concludes(m.id, vmm.MigrationCompleted)
				g.stopAndEnd()
			})
		}
	}
}

// A migration that fails while one side has no agent fails cleanly: the guest goes on at the source.
func TestRealGuestMigrationFailsWhileAnAgentIsAway(t *testing.T) {
	to := guestHarnessWith(t, setup{restarts: true})
	from := guestHarnessWith(t, setup{restarts: true, sequential: true})
	for side, of := range sides {
		t.Run(side, func(t *testing.T) {
			m := bootForMove(from.in(t), to.with(t))
			m.hold()
			a := of(m).agent()
			a.kill()
			m.target.mayEnd()
			m.target.signal("qemu-system", syscall.SIGKILL)
			m.goOn()
			m.source.text = ""
			m.source.says("guest up ")
			of(m).replace(a)
			migrationSide{m.target, vmm.WireFailed}.concludes(m.id, vmm.MigrationFailed)
			migrationSide{m.source.vm, ""}.concludes(m.id, vmm.MigrationFailed)
			m.source.runsOn()
			m.source.stopAndEnd()
		})
	}
}

// goOn lets a migration go on that was held.
func (m guestMove) goOn() {
	m.source.t.Helper()
	m.source.signal("qemu-system", syscall.SIGCONT)
}

// misses kills the agent of one side and lets the migration go on until the guest runs at the target.
func (m guestMove) misses(v *vm) {
	v.t.Helper()
	a := v.agent()
	a.kill()
	m.goOn()
	m.target.connected().says("guest up ")
	v.replace(a)
}

// leftOnce checks that the guest has written nothing at the source that it does not know at the target.
func (m guestMove) leftOnce(source, target *guest) {
	m.source.t.Helper()
	ctx := bounded(m.source.t)
	for {
		_, frame, err := source.conn.Read(ctx)
		if err != nil {
			break // The server has ended.
		}
		source.text += string(frame)
	}
	got, err := consoleHistory(ctx, target)
	must(m.source.t, err)
	if !strings.HasPrefix(got, source.text) {
		m.source.t.Errorf("at the source the guest has written %q, and at the target %q", source.text, got)
	}
}

// If the connection breaks after the guest was given away and before its source knows that it runs at the target, the
// source has failed and the migration has not: Nexus follows the target.
func TestRealGuestMigrationBreaksInBetween(t *testing.T) {
	to := guestHarness(t)
	from := guestHarnessWith(t, setup{sequential: true})
	m := bootForMove(from, to)
	m.source.mayEnd()
	all := m.source.connected()
	m.beginOver(breaksAfter(t, m.source.serverAddr.String(), `"word":"yours"`))
	m.target.reaches(vmm.WireRunning)
	migrationSide{m.source.vm, vmm.WireFailed}.concludes(m.id, vmm.MigrationCompleted)
	migrationSide{m.target, ""}.concludes(m.id, vmm.MigrationCompleted)
	g := m.target.connected()
	g.runsOn()
	m.leftOnce(all, g)
	g.stopAndEnd()
}

// breaksAfter returns the address of a relay to a server. It breaks the connection when the client has something to say
// after the server has sent a text.
func breaksAfter(t *testing.T, server, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		client, err := l.Accept()
		if err != nil {
			return // The test has ended.
		}
		defer client.Close()
		conn, err := net.Dial("tcp", server)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		var sent atomic.Bool
		go func() { _, _ = io.Copy(io.MultiWriter(&seen{text: text, is: &sent}, client), conn) }() // until it is closed
		for buf := make([]byte, 4<<10); ; {
			n, err := client.Read(buf)
			if err != nil || sent.Load() {
				return
			}
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}

// A seen looks for a text in what is written to it.
type seen struct {
	text string
	tail []byte
	is   *atomic.Bool
}

func (s *seen) Write(data []byte) (int, error) {
	s.tail = append(s.tail, data...)
	if bytes.Contains(s.tail, []byte(s.text)) {
		s.is.Store(true)
	}
	s.tail = s.tail[max(0, len(s.tail)-len(s.text)):]
	return len(data), nil
}
