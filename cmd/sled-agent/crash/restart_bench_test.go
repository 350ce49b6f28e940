package crash

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// many is how many VMMs the agent has to take over within 5 seconds (R).
const many = 1000

// BenchmarkRestart measures how long an agent with 1,000 VMMs takes from its
// start to its first answer that says how one of them is (serving-ms). The floor
// is what no agent can do without: to be executed and to read the ledger.
func BenchmarkRestart(b *testing.B) {
	l := newSled(b, setup{})
	v := l.populate(many)
	var serving, floor time.Duration
	for b.Loop() {
		l.kill()
		begin := time.Now()
		if out, err := exec.Command(l.setup.program, "--version").Output(); err != nil {
			b.Fatal(err, string(out))
		}
		if _, err := os.ReadFile(filepath.Join(l.stateDir(), "ledger.db")); err != nil {
			b.Fatal(err)
		}
		floor += time.Since(begin)
		begin = time.Now()
		started := make(chan struct{})
		go func() {
			defer close(started)
			l.start()
		}()
		v.answers()
		serving += time.Since(begin)
		<-started
	}
	b.ReportMetric(0, "ns/op") // It would mix the two.
	b.ReportMetric(float64(serving.Milliseconds())/float64(b.N), "serving-ms")
	b.ReportMetric(float64(floor.Microseconds())/1000/float64(b.N), "floor-ms")
}

// populate registers VMMs and returns one of them.
func (l *sled) populate(n int) *vm {
	l.t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	var last *vm
	for range n {
		v := l.newVM(l.t)
		last = v
		group.Go(func() error {
			got, err := l.ask(context.Background(), "PUT", v.path(), v.body)
			if err == nil && got.status != http.StatusOK {
				l.t.Errorf("register was answered with %v", got)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		l.t.Fatal(err)
	}
	return last
}

// answers waits until the VMM's state is read.
func (v *vm) answers() {
	v.t.Helper()
	deadline := time.Now().Add(trial.Patience)
	for time.Now().Before(deadline) {
		got, err := v.l.ask(context.Background(), "GET", v.path()+"/state", nil)
		if err == nil && got.status == http.StatusOK {
			return
		}
		<-time.After(time.Millisecond)
	}
	v.t.Fatalf("VMM %s is not known after %v", v.id, trial.Patience)
}

// A restart with 1,000 VMMs keeps its bound, also on a busy host (R).
func TestRestartWithManyVMMs(t *testing.T) {
	slow(t)
	t.Parallel()
	if testing.Short() {
		t.Skip("a thousand registrations take their time")
	}
	l := newSled(t, setup{})
	v := l.populate(many)
	l.kill()
	began := time.Now()
	l.revive(l.now())
	v.answers()
	if took, limit := time.Since(began), 5*time.Second; took > limit && !trial.Race {
		t.Errorf("with %d VMMs the agent answered after %v, want %v at most", many, took, limit)
	}
	about, err := l.admin.About(trial.Bounded(t, trial.Patience))
	if err != nil || about.VMMs != many {
		t.Errorf("after the restart the agent says %+v, %v; want %d VMMs", about, err, many)
	}
	if state := v.record().VMM.State; state != vmm.WireStarting {
		t.Errorf("a VMM that was registered is %s after the restart", state)
	}
	l.terminate()
}
