package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// background is a command that runs during the test. The test can wait for lines of its
// stderr or stdout.
type background struct {
	t    *testing.T
	done chan int
	out  bytes.Buffer
	err  *bytes.Buffer
	seen chan string
}

// lineWriter passes each write on; commands write whole lines.
type lineWriter struct {
	w     io.Writer
	lines chan<- string
}

func (l lineWriter) Write(p []byte) (int, error) {
	l.lines <- string(p)
	return l.w.Write(p)
}

func (s *sled) begin(line string) *background {
	b := &background{t: s.t, done: make(chan int, 1), err: &bytes.Buffer{}, seen: make(chan string, 100)}
	args := append([]string{"--socket", s.socket}, strings.Fields(line)...)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	go func() {
		defer cancel()
		b.done <- Run(ctx, args, testEnv(&b.out, lineWriter{b.err, b.seen}))
		close(b.seen)
	}()
	return b
}

// until waits for a line on stderr.
func (b *background) until(says string) {
	b.t.Helper()
	for line := range b.seen {
		if strings.Contains(line, says) {
			return
		}
	}
	b.t.Fatalf("it never said %q, but:\n%s", says, b.err)
}

func (b *background) ends(code int, says string) {
	b.t.Helper()
	for range b.seen {
	}
	if got := <-b.done; got != code || !strings.Contains(b.err.String(), says) {
		b.t.Errorf("exit %d, want %d and %q\n%s", got, code, says, b.err)
	}
}

func after(s vmm.Status, change func(*vmm.Status)) vmm.Status {
	change(&s)
	return s
}

func becomes(state vmm.WireState) func(*vmm.Status) {
	return func(s *vmm.Status) { s.Record.VMM.State, s.WaitsFor = state, "" }
}

func TestWait(t *testing.T) {
	t.Parallel()
	undecided := after(stopping(), func(s *vmm.Status) { s.Outcome, s.Reason = "", "" })
	for name, c := range map[string]struct {
		first vmm.Status
		args  string
		then  func(*admintest.Agent)
		code  int
		says  string
	}{
		"reached at once": {well(), "--for running", nil, 0, "running, active"},
		"reached later": {stopping(), "--for destroyed",
			func(a *admintest.Agent) { a.Put(after(stopping(), becomes(vmm.WireDestroyed))) }, 0, "destroyed"},
		"one of several": {stopping(), "--for running,failed",
			func(a *admintest.Agent) { a.Put(after(stopping(), becomes(vmm.WireFailed))) }, 0, "failed"},
		"another end": {stopping(), "--for running",
			func(a *admintest.Agent) { a.Put(after(stopping(), becomes(vmm.WireDestroyed))) }, 5,
			"ended destroyed (nexus asked for a stop), not running"},
		"forgotten before it was seen destroyed": {stopping(), "--for destroyed",
			func(a *admintest.Agent) { a.Forget(stopID) }, 0, ""},
		"forgotten before it was seen to end otherwise": {stopping(), "--for running",
			func(a *admintest.Agent) { a.Forget(stopID) }, 5, "ended destroyed"},
		"forgotten for no reason known": {undecided, "--for destroyed",
			func(a *admintest.Agent) { a.Forget(stopID) }, 3, "is gone; it was last seen stopping"},
		"gone": {after(stopping(), becomes(vmm.WireDestroyed)), "--for gone",
			func(a *admintest.Agent) { a.Forget(stopID) }, 0, ""},
		"remembered after it is gone": {stopping(), "--for gone",
			func(a *admintest.Agent) {
				a.Put(after(after(stopping(), becomes(vmm.WireDestroyed)), func(s *vmm.Status) { s.Phase = "forgotten" }))
			}, 0, "destroyed, forgotten"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSled(t, c.first)
			b := s.begin("vmm wait " + c.first.ID.String() + " " + c.args)
			if c.then != nil {
				b.until(c.first.Phase)
				c.then(s.agent)
			}
			b.ends(c.code, c.says)
		})
	}
}

// VMs survive a restart of the agent, and so does a wait for one.
func TestWaitAcrossAgentRestart(t *testing.T) {
	t.Parallel()
	agent, socket := admintest.New(theAgent(), stopping()), admintest.Socket(t)
	stop := serveAdmin(t, agent, socket)
	s := &sled{t: t, agent: agent, socket: socket}
	b := s.begin("vmm wait " + stopID.String() + " --for destroyed")
	b.until("stopping")
	stop()
	agent.Put(after(stopping(), becomes(vmm.WireDestroyed)))
	serveAdmin(t, agent, socket)
	b.ends(0, "destroyed")
}

func TestStopAndWait(t *testing.T) {
	t.Parallel()
	s := newSled(t, stopping())
	s.api.answers(http.StatusOK, updated{new(record(vmm.WireStopping, 10))})
	b := s.begin("vmm stop 52c0 --grace 1s --wait -o json")
	b.until("is stopping, generation 10")
	b.until("waits for Propolis")
	s.agent.Put(after(stopping(), becomes(vmm.WireDestroyed)))
	b.ends(0, "destroyed")
	var last vmm.Status
	if err := json.Unmarshal(b.out.Bytes(), &last); err != nil || last.Record.VMM.State != vmm.WireDestroyed {
		t.Errorf("%q, %v", b.out.String(), err)
	}
}

// A request without an answer ends with the exit code for a timeout.
func TestRequestTimesOut(t *testing.T) {
	t.Parallel()
	s := newSled(t, stopping())
	release := make(chan struct{})
	defer close(release)
	s.agent.OnKill(func(context.Context, vmm.Status) (vmm.Status, error) {
		<-release
		return vmm.Status{}, nil
	})
	r := s.run("vmm kill 52c0 --timeout 3s")
	if r.code != exitTimedOut || r.err != "sledctl: timed out after 3s\n" {
		t.Errorf("%+v", r)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newSled(t, stopping())
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	r := run(ctx, []string{"--socket", s.socket, "vmm", "list"})
	if r.code != exitInterrupted || r.err != "sledctl: interrupted\n" {
		t.Errorf("%+v", r)
	}
}

func TestFollowEvents(t *testing.T) {
	t.Parallel()
	s := newSled(t, stopping())
	lines := make(chan string, 100)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	done := make(chan int, 1)
	go func() {
		args := []string{"--socket", s.socket, "events", "--follow", "--past", "1", "52c0"}
		done <- Run(ctx, args, testEnv(lineWriter{io.Discard, lines}, io.Discard))
	}()
	for _, want := range []string{
		"2026-08-21 22:31:42.000Z  52c0e7de  propolis     Stopping\n",
		"2026-08-21 22:35:53.000Z  52c0e7de  gone         took 2s\n",
	} {
		if got := <-lines; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		s.agent.Emit(stopID, vmm.Event{At: now, Kind: "gone", Took: 2 * time.Second})
	}
	interrupt()
	if code := <-done; code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
}

// A followed stream continues with the next agent and repeats no event.
func TestFollowEventsAcrossAgentRestart(t *testing.T) {
	t.Parallel()
	agent, socket := admintest.New(theAgent(), stopping()), admintest.Socket(t)
	stop := serveAdmin(t, agent, socket)
	s := &sled{t: t, agent: agent, socket: socket}
	lines := make(chan string, 100)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	done := make(chan int, 1)
	go func() {
		args := []string{"--socket", s.socket, "events", "--follow", "--past", "1", "52c0"}
		done <- Run(ctx, args, testEnv(lineWriter{io.Discard, lines}, lineWriter{io.Discard, lines}))
	}()
	next := func(want string) {
		t.Helper()
		if got := <-lines; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	next("Stopping")
	stop()
	next("reconnecting")
	agent.Put(after(stopping(), func(s *vmm.Status) {
		s.Events = append(s.Events, vmm.Event{At: now, Kind: "deadline"})
	}))
	serveAdmin(t, agent, socket)
	next("deadline")
	interrupt()
	if code := <-done; code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
}

// Without a Nexus an end is not acknowledged: an ended VMM counts as gone.
func TestWaitForGoneWithoutNexus(t *testing.T) {
	t.Parallel()
	v := after(well(), func(s *vmm.Status) { s.Phase, s.Publish, s.Record.VMM.State = "ended", nil, vmm.WireDestroyed })
	s := newSled(t, v)
	if r := s.must("vmm wait web-1 --for gone"); r.out != v.ID.String()+" is destroyed, ended\n" {
		t.Errorf("%+v", r)
	}
}
