package crash

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A manager of services is what systemd is to the agent: it hears how the agent
// is (sd_notify(3)).
type serviceManager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	dir, err := os.MkdirTemp("", "sled-notify-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		os.RemoveAll(dir)
	})
	return &serviceManager{t, conn, path}
}

// env is the environment of a service that is to say that it lives.
func (m *serviceManager) env(every time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.path, fmt.Sprintf("WATCHDOG_USEC=%d", every.Microseconds())}
}

// hears returns the next message, or "" if there is none within a time.
func (m *serviceManager) hears(within time.Duration) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// wants checks what the next message is.
func (m *serviceManager) wants(message string, within time.Duration) (at time.Time) {
	m.t.Helper()
	if got := m.hears(within); got != message {
		m.t.Errorf("the service manager hears %q, want %q", got, message)
	}
	return time.Now()
}

// The agent says when it serves, that it lives, and when it ends. An agent that
// hangs says nothing more, so that it is killed and started again; meanwhile the
// VMs go on.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	const watchdog = 2 * time.Second
	m := newServiceManager(t)
	l := newSled(t, setup{lives: [][]string{m.env(watchdog), m.env(watchdog)}})
	m.wants("READY=1", trial.Patience)
	v := l.newVM(t)
	v.launch()
	last := m.wants("WATCHDOG=1", trial.Patience)
	for range 2 {
		at := m.wants("WATCHDOG=1", trial.Patience)
		if pause := at.Sub(last); pause > watchdog {
			t.Errorf("between two beats there were %v of %v", pause, watchdog)
		}
		last = at
	}

	hung := l.now()
	if err := hung.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	m.silence(watchdog)
	l.crash() // so does systemd when the time is up
	for m.hears(trial.Patience) != "READY=1" {
		if t.Failed() || !l.now().running() {
			t.Fatal("the next agent does not say that it is ready")
		}
	}
	v.runsStill()
	v.stop(never)
	v.ends(vmm.WireDestroyed)
	l.conclude()
	for {
		switch got := m.hears(time.Second); got {
		case "WATCHDOG=1":
			continue
		case "STOPPING=1":
		default:
			t.Errorf("at the end the service manager hears %q", got)
		}
		return
	}
}

// silence waits until nothing has been heard for a time. What was on its way
// may come first.
func (m *serviceManager) silence(span time.Duration) {
	m.t.Helper()
	for beats := 0; m.hears(span) != ""; beats++ {
		if beats > 1 {
			m.t.Fatal("a stopped agent says that it lives")
		}
	}
}

// Servers must not speak to the service manager in the agent's name.
func TestServersKnowOfNoServiceManager(t *testing.T) {
	t.Parallel()
	m := newServiceManager(t)
	l := newSled(t, setup{lives: [][]string{m.env(time.Minute)}})
	v := l.newVM(t)
	v.launch()
	for _, p := range mentioning(v.zone(), "cmdline", "environ") {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		for _, name := range []string{"NOTIFY_SOCKET=", "WATCHDOG_USEC="} {
			if strings.Contains(string(env), name) {
				t.Errorf("process %d, %s, has %s in its environment", p.pid, p.line, name)
			}
		}
	}
	v.stop(never)
	v.ends(vmm.WireDestroyed)
	l.conclude()
}
