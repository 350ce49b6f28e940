package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// frames passes on each write and keeps all. They are not read concurrently.
type frames struct {
	mu    sync.Mutex
	all   bytes.Buffer
	drawn chan string
}

func (f *frames) Write(p []byte) (int, error) {
	f.mu.Lock()
	f.all.Write(p)
	f.mu.Unlock()
	select {
	case f.drawn <- string(p):
	default:
	}
	return len(p), nil
}

// await returns the next write that contains a text.
func (f *frames) await(t *testing.T, text string) string {
	t.Helper()
	for {
		select {
		case got := <-f.drawn:
			if strings.Contains(got, text) {
				return got
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q is not shown", text)
		}
	}
}

func (s *sled) watch(out *frames, args string, options ...option) (end func() (code int)) {
	ctx, interrupt := context.WithCancel(s.t.Context())
	done := make(chan int, 1)
	go func() {
		line := append([]string{"--socket", s.socket}, strings.Fields(args)...)
		done <- Run(ctx, line, testEnv(out, &frames{}, options...))
	}()
	return func() int {
		interrupt()
		return <-done
	}
}

// On a terminal the alternate screen is left again.
func TestWatchOnATerminal(t *testing.T) {
	t.Parallel()
	var all []vmm.Status
	for n := range 50 {
		v := well()
		v.ID = uuid.NewSHA1(wellID, []byte{byte(n)})
		v.Hostname = fmt.Sprintf("web-%d", n)
		all = append(all, v)
	}
	s := newSled(t, all...)
	out := &frames{drawn: make(chan string, 1)}
	end := s.watch(out, "vmm list --watch", columns80x24)
	frame := out.await(t, "Ctrl-C ends")
	if !strings.HasPrefix(frame, "\x1b[H22:35:53Z, every 1ms; Ctrl-C ends\x1b[K\r\n") || !strings.HasSuffix(frame, "\x1b[J") {
		t.Errorf("frame %q", frame)
	}
	if n := strings.Count(frame, "\n") + 1; n >= 24 || !strings.Contains(frame, "and 30 more lines") {
		t.Errorf("%d lines on a terminal of 24:\n%s", n, frame)
	}
	for _, v := range all[1:] {
		s.agent.Forget(v.ID)
	}
	for strings.Contains(out.await(t, "Ctrl-C"), "more lines") { // until it shows the VMM that is left
	}
	if code := end(); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	text := out.all.String()
	if !strings.HasPrefix(text, "\x1b[?1049h\x1b[?25l") || !strings.HasSuffix(text, "\x1b[?25h\x1b[?1049l") {
		t.Errorf("the screen is not entered and left: %q ... %q", text[:20], text[len(text)-20:])
	}
}

// Elsewhere the output is repeated, in every format, also after a restart of the agent.
func TestWatchWithoutATerminal(t *testing.T) {
	t.Parallel()
	agent, socket := admintest.New(theAgent(), well()), admintest.Socket(t)
	stop := serveAdmin(t, agent, socket)
	s := &sled{t: t, agent: agent, socket: socket}
	out := &frames{drawn: make(chan string, 1)}
	end := s.watch(out, "status --watch --jq .vmms_by_state.running")
	out.await(t, "1\n")
	stop()
	agent.Put(after(well(), func(s *vmm.Status) { s.ID = twinID }))
	serveAdmin(t, agent, socket)
	out.await(t, "2\n")
	if code := end(); code != exitInterrupted || strings.Contains(out.all.String(), "\x1b") {
		t.Errorf("exit %d, %q", code, out.all.String())
	}
}

// Without an agent there is nothing to watch.
func TestWatchWithoutAnAgent(t *testing.T) {
	t.Parallel()
	r := run(t.Context(), []string{"--socket", admintest.Socket(t), "status", "--watch"}, columns80x24)
	if r.code != exitOther || !strings.Contains(r.err, "no agent listens") || r.out != "" {
		t.Errorf("%+v", r)
	}
}
