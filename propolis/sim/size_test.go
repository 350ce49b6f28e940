package sim_test

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/sledagent/sledagent/propolis/sim"
)

// TestIdleSize holds that thousands of simulators fit into one process: an idle
// one, with the largest spec at hand, takes less than 16 KiB and no goroutine.
// It does not run in parallel, since it counts the whole process's memory.
func TestIdleSize(t *testing.T) {
	body := coldStart
	if raw, err := os.ReadFile(contractDir + "fixtures/pp_ensure_spec.json"); err == nil {
		body = string(raw)
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	const n, limit = 100, 16 << 10
	sims := make([]*sim.Server, 0, n)
	goroutines, before := runtime.NumGoroutine(), heap()
	for range n {
		c := inProcess(t, sim.Options{})
		c.want(c.call("PUT", "/instance", body), "Created")
		c.want(c.put("Run"), "No Content")
		sims = append(sims, c.sim)
	}
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	if each > limit {
		t.Errorf("an idle simulator takes %d bytes, want at most %d", each, limit)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 0 {
		t.Errorf("%d goroutines for %d simulators", more, n)
	}
	runtime.KeepAlive(sims)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
