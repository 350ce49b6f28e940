package e2e

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
)

// many is the number of VMMs that the agent must adopt within 5 seconds (R). BenchmarkRestart measures it.
const many = 1000

// BenchmarkRestart measures how long an agent with 1,000 VMMs takes from its start to its first answer with
// a VMM's state (serving-ms). The floor is to execute a program and to read the ledger.
func BenchmarkRestart(b *testing.B) {
	h := newHarness(b, setup{restarts: true})
	v := h.populate(many)
	var serving, floor time.Duration
	for b.Loop() {
		h.agent().kill()
		begin := time.Now()
		if out, err := exec.Command(h.setup.program, "--version").Output(); err != nil {
			b.Fatal(err, string(out))
		}
		if _, err := os.ReadFile(filepath.Join(h.stateDir(), "ledger.db")); err != nil {
			b.Fatal(err)
		}
		floor += time.Since(begin)
		begin = time.Now()
		started := make(chan struct{})
		go func() {
			defer close(started)
			h.start()
		}()
		v.answers()
		serving += time.Since(begin)
		<-started
	}
	h.terminate()
	b.ReportMetric(0, "ns/op") // It would be the sum of both.
	b.ReportMetric(float64(serving.Milliseconds())/float64(b.N), "serving-ms")
	b.ReportMetric(float64(floor.Microseconds())/1000/float64(b.N), "floor-ms")
}

// populate registers VMMs and returns one of them.
func (h *harness) populate(n int) *vm {
	h.t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	var last *vm
	for range n {
		v := h.newVM()
		last = v
		group.Go(func() error {
			got, err := h.ask(context.Background(), "PUT", v.path(), v.body)
			for err == nil && got.refusedBySlowDisk() {
				got, err = h.ask(context.Background(), "PUT", v.path(), v.body)
			}
			if err == nil && got.status != http.StatusOK {
				h.t.Errorf("register was answered with %v", got)
			}
			return err
		})
	}
	must(h.t, group.Wait())
	return last
}

// answers waits until the VMM's state can be read.
func (v *vm) answers() {
	v.t.Helper()
	ctx := bounded(v.t)
	for {
		got, err := v.ask(ctx, "GET", v.path()+"/state", nil)
		if err == nil && got.status == http.StatusOK {
			return
		}
		if ctx.Err() != nil {
			v.t.Fatalf("VMM %s is not known after %v", v.id, waitLimit)
		}
		pause(time.Millisecond)
	}
}

// A restart with 1,000 VMMs loses none (R).
func TestRestartWithManyVMMs(t *testing.T) {
	slow(t)
	if testing.Short() {
		t.Skip("a thousand registrations take their time")
	}
	h := newHarness(t, setup{restarts: true})
	v := h.populate(many)
	h.agent().kill()
	h.replace(h.agent())
	v.answers()
	if about := h.about(); about.VMMs != many {
		t.Errorf("after the restart the agent says %+v; want %d VMMs", about, many)
	}
	if state := v.record().VMM.State; state != vmm.WireStarting {
		t.Errorf("a VMM that was registered is %s after the restart", state)
	}
	h.terminate()
}
