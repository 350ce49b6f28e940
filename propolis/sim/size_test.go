package sim_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/sledagent/sledagent/internal/contract"
	"github.com/sledagent/sledagent/propolis/server/servertest"
	"github.com/sledagent/sledagent/propolis/sim"
)

// Thousands of simulators fit into one process: an idle one with the largest spec takes less
// than 16 KiB and no goroutine. The test is not parallel, since it measures the memory of
// the process.
func TestIdleSize(t *testing.T) {
	body := servertest.ColdStart
	if contract.Dir() != "" {
		raw, err := os.ReadFile(contract.Path(t, "fixtures/pp_ensure_spec.json"))
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)
	}
	inProcess(t, sim.Options{}).Ensure() // The API's document is loaded once per process.
	const n, limit = 100, 16 << 10
	sims := make([]*sim.Server, 0, n)
	goroutines, before := runtime.NumGoroutine(), heap()
	for range n {
		c := inProcess(t, sim.Options{})
		c.Want(c.Call("PUT", "/instance", body), "Created")
		c.Want(c.Put("Run"), "No Content")
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
