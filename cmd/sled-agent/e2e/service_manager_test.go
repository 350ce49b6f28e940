package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// A serviceManager receives the agent's notifications like systemd (sd_notify(3)).
type serviceManager struct {
	t        *testing.T
	path     string
	messages chan string
}

// mostWaiting is more messages than an agent sends in a test.
const mostWaiting = 10_000

// newServiceManager makes one that either reads messages at once, so that the socket is never full, or reads
// nothing, so that it is full.
func newServiceManager(t *testing.T, reads bool) *serviceManager {
	t.Helper()
	dir, err := os.MkdirTemp("", "sled-notify-")
	must(t, err)
	m := &serviceManager{t, filepath.Join(dir, "notify"), make(chan string, mostWaiting)}
	addr := &net.UnixAddr{Name: m.path, Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", addr)
	must(t, err)
	t.Cleanup(func() {
		conn.Close()
		os.RemoveAll(dir)
	})
	if reads {
		go m.listen(conn)
		return m
	}
	full, err := net.DialUnix("unixgram", nil, addr)
	for err == nil {
		_ = full.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = full.Write([]byte("full"))
	}
	if full == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { full.Close() })
	return m
}

func (m *serviceManager) listen(conn *net.UnixConn) {
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		m.messages <- string(buf[:n])
	}
}

// env is the environment of a service with a watchdog.
func (m *serviceManager) env(every time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.path, fmt.Sprintf("WATCHDOG_USEC=%d", every.Microseconds())}
}

// next returns the next message, or "" if there is none in time.
func (m *serviceManager) next(within time.Duration) string {
	m.t.Helper()
	select {
	case message := <-m.messages:
		return message
	case <-time.After(within):
		return ""
	}
}

// waitsFor waits for a message.
func (m *serviceManager) waitsFor(message string) {
	m.t.Helper()
	for got := ""; got != message; {
		if got = m.next(waitLimit); got == "" {
			m.t.Fatalf("the service manager did not receive %q", message)
		}
	}
}

// The agent notifies when it serves, that it is alive, and when it ends. A hanging agent sends nothing more,
// so that it is killed and restarted; meanwhile the VMs run on.
func TestServiceManager(t *testing.T) {
	const watchdog = 2 * time.Second
	m := newServiceManager(t, true)
	h := newHarness(t, setup{restarts: true, env: [][]string{m.env(watchdog), m.env(watchdog)}})
	if got := m.next(waitLimit); got != "READY=1" {
		t.Errorf("the service manager received %q first", got)
	}
	v := h.launch()
	for range 3 {
		m.waitsFor("WATCHDOG=1")
	}
	hung := h.agent()
	hung.signal(t, syscall.SIGSTOP)
	waitFor(t, func() string {
		if s, _ := statOf(hung.pid()); s.state != "T" {
			return "the agent was stopped, and is: " + s.text
		}
		return ""
	})
	for beats := 0; m.next(watchdog) != ""; beats++ { // Earlier messages are read first.
		if beats > mostWaiting {
			t.Fatal("a stopped agent reports that it is alive")
		}
	}
	h.restart() // systemd does the same after the watchdog time.
	m.waitsFor("READY=1")
	v.is(vmm.WireRunning)
	v.stopAndEnd()
	h.terminate()
	m.waitsFor("STOPPING=1")
}

// Servers cannot send notifications in the agent's name.
func TestServersKnowOfNoServiceManager(t *testing.T) {
	m := newServiceManager(t, true)
	h := newHarness(t, setup{restarts: true, env: [][]string{m.env(time.Minute)}})
	v := h.launch()
	for _, p := range processes(v.zone()) {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		for _, name := range []string{"NOTIFY_SOCKET=", "WATCHDOG_USEC="} {
			if strings.Contains(string(env), name) {
				t.Errorf("process %d, %s, has %s in its environment", p.pid, p.line, name)
			}
		}
	}
	v.stopAndEnd()
}

// unitFile is the project's unit.
const unitFile = "../../../deploy/systemd/sled-agent.service"

// The unit has the settings that these tests simulate.
func TestUnit(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(unitFile)
	must(t, err)
	for _, setting := range []string{"Type=notify", "KillMode=process", "WatchdogSec=", "Restart=always", "ExecReload=/usr/bin/sledctl agent reload", "RestartPreventExitStatus=96"} {
		if !strings.Contains(string(text), "\n"+setting) {
			t.Errorf("the unit has no %s", setting)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze to read it")
	}
	// systemd-analyze requires the program to exist. Older versions warn about unknown settings.
	unit := filepath.Join(t.TempDir(), "sled-agent.service")
	there := strings.ReplaceAll(string(text), "/usr/bin/sled-agent", program("sled-agent"))
	there = strings.ReplaceAll(there, "/usr/bin/sledctl", program("sled-agent"))
	there = strings.Replace(there, "\nDelegateSubgroup=agent\n", "\n", 1)
	must(t, os.WriteFile(unit, []byte(there), 0o600))
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// The signals of a service manager end only the agent, even the signal for a hanging agent (R).
func TestSignalsOfAServiceManager(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGABRT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			h := newHarness(t, setup{restarts: true})
			running, stopping := h.launch(), h.launchWith(withFaults("ignore-stop"))
			s := stopping.stop(2 * grace)
			a := h.agent()
			a.signal(t, sig)
			a.exitCode(t)
			if sig == syscall.SIGABRT {
				a.logs(t, "goroutine ")
			}
			h.replace(a)
			stopping.removedAtDeadline(s)
			stopping.endsDestroyed()
			running.is(vmm.WireRunning)
			running.stopAndEnd()
		})
	}
}
