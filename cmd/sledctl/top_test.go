package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// beSledctl makes the test program sledctl.
const beSledctl = "TEST_IS_SLEDCTL"

func TestMain(m *testing.M) {
	if os.Getenv(beSledctl) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A terminal is a real one of 80 columns and 24 lines, in tmux, with a shell.
type terminal struct {
	t    *testing.T
	name string
}

func newTerminal(t *testing.T, env ...string) *terminal {
	if _, err := exec.LookPath("tmux"); err != nil {
		fmt.Fprintln(os.Stderr, "SKIP", t.Name()+": there is no tmux (apt-get install tmux); sledctl top is NOT tested on a terminal")
		t.Skip("there is no tmux")
	}
	x := &terminal{t, admintest.Socket(t)}
	args := []string{"new-session", "-d", "-x", "80", "-y", "24"}
	for _, e := range append(env, "PS1=$ ", "LC_ALL=C.UTF-8", beSledctl+"=1") {
		args = append(args, "-e", e)
	}
	x.tmux(append(args, "sh")...)
	t.Cleanup(func() { x.tmux("kill-server") })
	return x
}

func (x *terminal) tmux(args ...string) string {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "tmux", append([]string{"-S", x.name, "-f", "/dev/null", "-u"}, args...)...).CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

func (x *terminal) types(keys ...string) { x.tmux(append([]string{"send-keys"}, keys...)...) }

// shows waits until all texts are on the screen, and none that begins with a minus sign, and
// returns the screen.
func (x *terminal) shows(texts ...string) string {
	x.t.Helper()
	screen := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		screen = x.tmux("capture-pane", "-p")
		if !slices.ContainsFunc(texts, func(text string) bool {
			absent, isAbsent := strings.CutPrefix(text, "-")
			return strings.Contains(screen, absent) == isAbsent
		}) {
			return screen
		}
		time.Sleep(20 * time.Millisecond) // sleep: tmux does not say when a screen changes
	}
	x.t.Fatalf("the screen does not show %q:\n%s", texts, screen)
	return ""
}

func vm(hostname string, state vmm.WireState, left time.Duration) vmm.Status {
	now := time.Now()
	s := vmm.Status{ID: uuid.NewSHA1(uuid.Nil, []byte(hostname)), Hostname: hostname, Phase: "active", Since: now, Zone: "zone-of-" + hostname,
		Record: vmm.Record{VMM: vmm.Runtime{State: state, Gen: 3, Updated: now}}}
	if left > 0 {
		deadline := now.Add(left)
		s.Deadline, s.DeadlineFor, s.WaitsFor = &deadline, "stop", "Propolis to report it destroyed"
	}
	return s
}

// On a terminal of 80 columns and 24 lines: keys, a new size, an agent that is away, and the
// terminal afterwards.
func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	socket := admintest.Socket(t)
	x := newTerminal(t, "SLED_AGENT_SOCKET="+socket)
	web, db := vm("web-1", vmm.WireRunning, 0), vm("db-1", vmm.WireStopping, time.Hour)
	agent := admintest.New(admin.About{Version: "0.1.0", Nexus: []string{"http://[::1]:1"}}, web, db)
	stop := admintest.Serve(t, agent, socket, admin.Options{})

	x.types("echo before; stty -g >"+socket+".tty; "+os.Args[0]+" top; echo left with $?", "Enter")
	screen := x.shows("sled-agent 0.1.0, well", "1 replica", "web-1", "db-1", "████████ stop ", "q quit", "-before")
	for line := range strings.Lines(screen) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("a line is too long: %s", line)
		}
	}
	x.types("/", "web", "Enter")
	x.shows("web-1", `filter "web" hides 1`, "-db-1")
	x.types("x")
	x.shows("kill web-1", "(y/n)")
	x.types("n")
	x.shows("nothing was changed")
	x.types("x", "y")
	x.shows("web-1) is being removed by force")
	if got := agent.Killed(); !slices.Equal(got, []uuid.UUID{web.ID}) {
		t.Errorf("killed %v", got)
	}
	x.types("Enter")
	x.shows("zone-of-web-1", "Esc back")
	x.types("Escape")
	x.shows("-Esc back")
	x.types("Escape")
	x.shows("db-1", "web-1")

	stop()
	x.shows("cannot reach agent since", "db-1")
	agent.Put(vm("mail", vmm.WireRunning, 0))
	admintest.Serve(t, agent, socket, admin.Options{})
	x.shows("mail", "-cannot reach")

	x.tmux("resize-window", "-x", "110", "-y", "30")
	for screen = x.shows("q quit"); strings.Count(screen, "\n") < 30; {
		screen = x.shows("q quit")
	}
	x.shows("Propolis to report it destroyed")
	x.types("q")
	x.shows("before", "left with 0", "-q quit")

	x.types("clear; "+os.Args[0]+" top; echo left with $?", "Enter")
	x.shows("q quit")
	x.types("C-c")
	x.shows("left with 0", "-q quit")
	x.types("[ $(stty -g) = $(cat "+socket+".tty) ] && echo the terminal is as it was", "Enter")
	x.shows("the terminal is as it was\n")
}

// A signal leaves the terminal as it was, too, and has the exit code of an interrupt.
func TestTopEndedByASignal(t *testing.T) {
	t.Parallel()
	socket := admintest.Socket(t)
	x := newTerminal(t, "SLED_AGENT_SOCKET="+socket, "NO_COLOR=1")
	admintest.Serve(t, admintest.New(admin.About{}, vm("web-1", vmm.WireRunning, 0)), socket, admin.Options{})
	// The program has the pid of the shell that is replaced by it.
	x.types("stty -g >"+socket+".tty; sh -c 'echo $$ >"+socket+".pid; exec "+os.Args[0]+" top'; echo left with $?", "Enter")
	x.shows("web-1", "q quit")
	if colored := x.tmux("capture-pane", "-pe"); strings.Contains(colored, "\x1b[3") {
		t.Errorf("with NO_COLOR there are colors: %q", colored)
	}
	x.tmux("run-shell", "kill -TERM $(cat "+socket+".pid)")
	x.shows("left with 130", "-q quit")
	x.types("[ $(stty -g) = $(cat "+socket+".tty) ] && echo the terminal is as it was", "Enter")
	x.shows("the terminal is as it was\n")
}
