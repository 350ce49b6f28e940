package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// idleAfter is when connections used by a start have been closed: the client keeps an idle one
// for 5 s.
const idleAfter = 6 * time.Second

const (
	// idleVMMs are measured in addition to some that exist already, so that what the agent
	// holds once, such as its connections to Nexus, is not counted.
	idleVMMs = 1000
	present  = 100
)

// BenchmarkIdle reports the cost of an idle running VMM: bytes of heap and stacks, and
// goroutines. Propolis and Nexus are simulators in another process, over loopback; the zones
// are in memory and counted. The floor is a goroutine that waits for the answer to a GET of
// the same servers, with a client of the same buffer sizes.
func BenchmarkIdle(b *testing.B) {
	if testing.Short() {
		b.Skip("a thousand VMMs")
	}
	var ours, floor usage
	for b.Loop() {
		warmUp(8 * idleVMMs)
		o := startOthers(b, idleVMMs+present)
		floor = idleFloor(b, o.Propolis[present:])
		ours = idle(b, o)
	}
	metrics(b, map[string]float64{
		"bytes/VMM": ours.bytes, "floor-bytes/VMM": floor.bytes, "x-floor": ours.bytes / floor.bytes,
		"goroutines/VMM": ours.goroutines, "floor-goroutines/VMM": floor.goroutines,
	})
}

// usage is what this process uses.
type usage struct{ bytes, goroutines float64 }

// descriptor is the size of a goroutine's descriptor in the runtime, rounded up. Descriptors
// are never freed, so they are counted separately.
const descriptor = 512

// warmUp makes the runtime allocate the descriptors of n goroutines, so that they are not
// counted at their first use.
func warmUp(n int) {
	var all sync.WaitGroup
	hold := make(chan struct{})
	for range n {
		all.Go(func() { <-hold })
	}
	close(hold)
	all.Wait()
}

// use measures after several collections: each frees what the one before removed from pools,
// and halves stacks that are too large. An idle agent gets there in ten minutes, by the
// collections that it makes every two.
func use() usage {
	var m runtime.MemStats
	for range 5 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	goroutines := runtime.NumGoroutine()
	return usage{float64(m.HeapAlloc) + float64(m.StackInuse) + float64(goroutines*descriptor), float64(goroutines)}
}

// each returns a VMM's share of the growth from u to v.
func (u usage) each(v usage) usage {
	return usage{(u.bytes - v.bytes) / idleVMMs, (u.goroutines - v.goroutines) / idleVMMs}
}

// idle returns what each running VMM adds to an agent that already has some.
func idle(b *testing.B, o others) usage {
	b.Helper()
	r := newHarness(b, options{zones: zonetest.New(zonetest.Hooks{}), nexus: []string{"http://" + o.Nexus},
		propolis: func(addr netip.AddrPort) runner.Propolis { return propolis.NewClient(addr, propolis.Options{}) }})
	startIdle := func(addrs []netip.AddrPort) usage {
		r.awaitAll(r.start(wire.BodyOptions{NICs: 1}, addrs...), "published", func(v vm) bool {
			s, err := r.Show(v.id)
			return err == nil && s.Publish != nil && s.Publish.Acked == s.Record.VMM.Gen
		})
		<-time.After(idleAfter)
		return use()
	}
	before := startIdle(o.Propolis[:present])
	return startIdle(o.Propolis[present:]).each(before)
}

// idleFloor returns the cost of a pending GET, measured with as many of them.
func idleFloor(b *testing.B, addrs []netip.AddrPort) usage {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var ended, sent sync.WaitGroup
	defer ended.Wait()
	defer cancel()
	before := use()
	for _, addr := range addrs {
		sent.Add(1)
		ended.Go(func() { longPoll(ctx, addr, sync.OnceFunc(sent.Done)) })
	}
	sent.Wait()
	return use().each(before)
}

// longPoll waits for an answer that does not come, and calls asked after the request.
func longPoll(ctx context.Context, addr netip.AddrPort, asked func()) {
	transport := &http.Transport{ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
		}}
	defer transport.CloseIdleConnections()
	defer asked()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { asked() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+waitPath, nil)
	if err != nil {
		return
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}
