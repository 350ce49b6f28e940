package cli

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/golden"
)

// ends makes a VMM end and, once, be forgotten.
func (s *sled) ends(v vmm.Status, as vmm.WireState, reason string) {
	v.Record.VMM.State, v.Reason, v.Phase = as, reason, vmm.Forgotten.String()
	s.agent.PutEnded(v)
	s.agent.Forget(v.ID)
}

func TestDrainAndWaitAsJSON(t *testing.T) {
	t.Parallel()
	s := newSled(t, well())
	s.agent.OnDrain(func() { s.ends(well(), vmm.WireDestroyed, "") })
	var got drained
	r := s.must("drain --wait -o json")
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.VMMs) != 1 || got.VMMs[0].ID != wellID ||
		got.VMMs[0].Record.VMM.State != vmm.WireDestroyed || got.Drain.Operator == nil {
		t.Errorf("%s: %v", r.out, err)
	}
	if r := newSled(t).must("drain --wait -o json"); !strings.Contains(r.out, `"vmms": []`) {
		t.Errorf("without VMMs: %s", r.out)
	}
}

// A VMM of which the agent has no record any more has ended as its stop says.
func TestDrainWithoutRecords(t *testing.T) {
	t.Parallel()
	s := newSled(t, well())
	s.agent.OnDrain(func() { s.agent.Forget(wellID) })
	if r := s.must("drain --wait"); !strings.Contains(r.out, "keeps no record") {
		t.Errorf("%s", r.out)
	}
}

func TestDrainTimesOut(t *testing.T) {
	t.Parallel()
	s := newSled(t, well(), stopping())
	r := s.run("drain --wait --timeout 1s")
	if r.code != exitTimedOut || !strings.Contains(r.err, "2 VMMs are left, and the drain goes on") || !strings.Contains(r.out, "has not ended") {
		t.Errorf("exit %d: %s\n%s", r.code, r.err, r.out)
	}
	if s.agent.Disposition().Operator == nil {
		t.Error("the drain has ended")
	}
}

func TestDrainIsEndedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSled(t, well())
	s.agent.OnDrain(func() {
		go func() { _, _ = s.agent.EndDrain(context.Background(), vmm.ByOperator) }()
	})
	if r := s.run("drain --wait"); r.code != exitOther || !strings.Contains(r.err, "the drain was ended while VMMs were left") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

// An interrupt ends the command and not the drain, and the command can be repeated.
func TestDrainIsInterrupted(t *testing.T) {
	t.Parallel()
	s := newSled(t, well())
	ctx, cancel := context.WithCancel(t.Context())
	s.agent.OnDrain(cancel)
	r := run(ctx, []string{"--socket", s.socket, "drain", "--wait"})
	if r.code != exitInterrupted || s.agent.Disposition().Operator == nil {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	s.agent.OnDrain(func() { s.ends(well(), vmm.WireDestroyed, "") })
	s.must("drain --wait")
}

// On a terminal one table is drawn over and over, and nothing of it is left.
func TestDrainOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSled(t, well(), stopping(), stuck())
	drawn := &firstTable{seen: make(chan struct{})}
	s.agent.OnDrain(func() {
		go func() {
			<-drawn.seen
			for _, v := range []vmm.Status{well(), stopping(), stuck()} {
				s.ends(v, vmm.WireDestroyed, "")
			}
		}()
	})
	var errs strings.Builder
	env := testEnv(drawn, &errs, columns80)
	if code := Run(t.Context(), []string{"--socket", s.socket, "drain", "--wait"}, env); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	table, rest, ok := strings.Cut(drawn.String(), "\x1b[")
	if !ok || strings.Count(table, "\n") != int(rest[0]-'0') || !strings.HasPrefix(rest[1:], "A\x1b[J") {
		t.Fatalf("the table is not erased as a whole: %q, %.20q", table, rest)
	}
	golden.Check(t, "drain-80.txt", table)
}

// firstTable reports the first write.
type firstTable struct {
	mu   sync.Mutex
	b    strings.Builder
	once sync.Once
	seen chan struct{}
}

func (f *firstTable) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.once.Do(func() { close(f.seen) })
	return f.b.Write(p)
}

func (f *firstTable) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.b.String()
}

var _ io.Writer = (*firstTable)(nil)

// Many VMMs fit on a terminal.
func TestDrainOfManyVMMs(t *testing.T) {
	t.Parallel()
	var all []vmm.Status
	for n := range 100 {
		v := well()
		v.ID = uuid.NewSHA1(wellID, []byte{byte(n)})
		all = append(all, v)
	}
	text := (&app{Env: testEnv(nil, nil, columns80)}).view().DrainProgress(all)
	if lines := strings.Count(text, "\n"); lines > 20 || !strings.Contains(text, "0 of 100 VMMs ended; 85 more are left") {
		t.Errorf("%d lines: %s", lines, text)
	}
}
