package agent_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/evidence"
	"github.com/sledagent/sledagent/agent/vmm"
)

// An inspector says when it was asked, and hangs for as long as it is told to, whatever
// becomes of its context.
type inspector struct {
	hang chan struct{}

	mu    sync.Mutex
	asked []time.Time
}

func (i *inspector) Processes(context.Context, string, int) ([]int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = append(i.asked, time.Now())
	return []int{1}, nil
}

func (i *inspector) Inspect(_ context.Context, _ []int, keep func(string, []byte)) error {
	keep("processes.txt", []byte("one process\n"))
	<-i.hang
	return nil
}

// evident runs a test with an agent that collects evidence.
func evident(t *testing.T, test func(t *testing.T, r *rig, i *inspector)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "evidence")
	synctest.Test(t, func(t *testing.T) {
		i := &inspector{hang: make(chan struct{})}
		store := evidence.Open(evidence.Options{Dir: dir, MaxSize: 1 << 20, Keep: 24 * time.Hour, Zones: i, Log: zerolog.Nop()})
		r := newRigOn(t, nil, func(r *rig) { r.adjust = func(c *agent.Config) { c.Collector = store } })
		test(t, r, i)
		select {
		case <-i.hang:
		default:
			close(i.hang)
		}
		r.close()
		if err := store.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestEvidenceDelaysNothing has every collection hang: each removal begins at its deadline,
// to the nanosecond, and the evidence is collected before it (E, D).
func TestEvidenceDelaysNothing(t *testing.T) {
	t.Parallel()
	evident(t, func(t *testing.T, r *rig, i *inspector) {
		r.misbehave("ignore-stop")
		var all []guest
		for range 7 { // more than there may be collections
			all = append(all, r.start())
		}
		at := time.Now().Add(time.Minute)
		for _, v := range all {
			r.stop(v, d(time.Minute))
		}
		pass(time.Minute)
		for _, v := range all {
			if begun := r.removal(v); !begun.IsZero() && !begun.Equal(at) {
				t.Errorf("the removal began at %s, not at %s", begun, at)
			}
			r.await(v, vmm.WireDestroyed)
			r.forgotten(v)
			s, err := r.Show(v.id)
			if err != nil || s.Removal == nil || !s.Removal.Begun.Equal(at) {
				t.Errorf("the removal of %+v did not begin at %s: %v", s.Removal, at, err)
			}
		}
		if len(i.asked) != 4 {
			t.Errorf("%d were collected at once, want 4", len(i.asked))
		}
		for _, asked := range i.asked {
			if before := at.Sub(asked); before != 5*time.Second {
				t.Errorf("evidence was collected %s before the deadline, want 5s", before)
			}
		}
	})
}

// TestEvidenceIsCollected reads what a collection has left, and which deadlines have one.
func TestEvidenceIsCollected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  string
		grace  time.Duration
		before time.Duration // 0: nothing is collected
		in     string
	}{
		"a stop":                        {"ignore-stop", time.Minute, 5 * time.Second, "PUT /instance/state Stop 204"},
		"the last half of a short stop": {"ignore-stop", 4 * time.Second, 2 * time.Second, "GET /instance/state-monitor 200"},
		"a stop at once":                {"ignore-stop", 0, 0, ""},
		"a stop that is obeyed":         {"", time.Minute, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evident(t, func(t *testing.T, r *rig, i *inspector) {
				close(i.hang)
				if c.fault != "" {
					r.misbehave(c.fault)
				}
				v := r.start()
				at := time.Now().Add(c.grace)
				r.stop(v, d(c.grace))
				r.await(v, vmm.WireDestroyed)
				r.forgotten(v)
				s, err := r.Show(v.id)
				if err != nil {
					t.Fatal(err)
				}
				if c.before == 0 {
					if s.Evidence != "" || len(i.asked) > 0 {
						t.Errorf("evidence was collected: %s, %v", s.Evidence, i.asked)
					}
					return
				}
				if len(i.asked) != 1 || at.Sub(i.asked[0]) != c.before {
					t.Errorf("asked at %v, want %s before %s", i.asked, c.before, at)
				}
				answers, err := os.ReadFile(filepath.Join(s.Evidence, "propolis.txt"))
				if err != nil || !strings.Contains(string(answers), c.in) {
					t.Errorf("Propolis's answers are %q, %v", answers, err)
				}
				if !hasEvent(s, "collected", "2 files in "+s.Evidence) {
					t.Errorf("the events are %+v", s.Events)
				}
			})
		})
	}
}

// A start that takes too long has a deadline as well.
func TestEvidenceOfAStart(t *testing.T) {
	t.Parallel()
	evident(t, func(t *testing.T, r *rig, i *inspector) {
		close(i.hang)
		r.misbehave("hang-ensure")
		v := r.register()
		at := time.Now().Add(limits.StartTimeout)
		r.run(v)
		r.await(v, vmm.WireFailed)
		if len(i.asked) != 1 || at.Sub(i.asked[0]) != 5*time.Second {
			t.Errorf("asked at %v, want 5s before %s", i.asked, at)
		}
	})
}

func hasEvent(s vmm.Status, kind, text string) bool {
	for _, e := range s.Events {
		if e.Kind == kind && e.Text == text && e.Error == "" {
			return true
		}
	}
	return false
}
