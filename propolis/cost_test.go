package propolis

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// goroutines counts those that run this package's client.
func goroutines() (n int) {
	stacks := make([]byte, 16<<20)
	for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(g, "(*Client).Watch(") || strings.Contains(g, "(*watcher).") || strings.Contains(g, "net/http.(*persistConn)") {
			n++
		}
	}
	return n
}

// This test is not parallel, since it counts resources of the process.
func TestIdleWatchIsCheap(t *testing.T) {
	const vmms = 100
	var watches sync.WaitGroup
	ready := make(chan struct{}, vmms)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); watches.Wait() })
	addr := serveQuiet(t, ready)
	before := heap()
	for range vmms {
		c := dial(t, addr, Options{})
		watches.Go(func() { c.Watch(ctx, 0, WatchOptions{}, func(WatchEvent) {}) })
	}
	for range vmms {
		<-ready
	}
	if n := countUntil(goroutines, 2*vmms); n != 2*vmms {
		t.Errorf("%d watches run %d goroutines, want the watch and its poll each", vmms, n)
	}
	// This includes the memory of the test's own server, but no stacks.
	if each := (heap() - before) / vmms; each > 24<<10 {
		t.Errorf("a watch costs %d bytes", each)
	} else {
		t.Logf("a watch costs %d bytes and two goroutines", each)
	}
}

// countUntil counts until the count is the wanted one or ample time has passed.
func countUntil(count func() int, want int) (n int) {
	for end := time.Now().Add(ample / 2); time.Now().Before(end); {
		if n = count(); n == want {
			break
		}
		time.Sleep(10 * time.Millisecond) // sleep: polls with a deadline
	}
	return n
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// serveQuiet serves VMs that stay at generation 1. It sends to waiting, while there is
// room, when a poll for generation 2 has arrived.
func serveQuiet(t *testing.T, waiting chan<- struct{}) net.Addr {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		r := bufio.NewReaderSize(conn, 512)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if body, _ := io.ReadAll(req.Body); string(body) == `{"gen":0}` {
				io.WriteString(conn, reply(200, `{"gen":1,"state":"Running","migration":{}}`))
				continue
			}
			select {
			case waiting <- struct{}{}:
			default:
			}
			conn.Read(make([]byte, 1))
			return
		}
	})
}

// A connection ends with its call, and a watch's connections with the watch.
func TestNoIdleConnections(t *testing.T) {
	t.Parallel()
	inMemory(t, honest(3, StateRunning), func(t *testing.T, m *memory) {
		for range 10 {
			if _, err := m.client.Monitor(t.Context(), 1); err != nil {
				t.Error(err)
			}
			if n := m.open.Load(); n != 0 {
				t.Errorf("%d connections are open after a call", n)
			}
		}
		time.AfterFunc(time.Minute, func() {
			if n := m.open.Load(); n != 1 {
				t.Errorf("a watch has %d connections, want one for its poll", n)
			}
		})
		m.watch(t, 0, WatchOptions{}, time.Hour)
		if n := m.open.Load(); n != 0 {
			t.Errorf("%d connections are open after a watch", n)
		}
	})
}

// A stop has its own connection and waits for no other call, even one that hangs for an
// hour.
func TestStopWaitsForNothing(t *testing.T) {
	t.Parallel()
	const hung = 20
	var waiting, calls sync.WaitGroup
	waiting.Add(2 * hung)
	c := serve(t, Options{RequestTimeout: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		waiting.Done()
		hang(r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer calls.Wait()
	defer cancel()
	for range hung {
		calls.Go(func() { every["monitor"](ctx, c) })
		calls.Go(func() { every["snapshot"](ctx, c) })
	}
	waiting.Wait()
	soon, cancelSoon := context.WithTimeout(t.Context(), ample)
	defer cancelSoon()
	if err := c.Put(soon, Stop, 0); err != nil {
		t.Error(err)
	}
}

// Each call makes a new connection, so none is ever sent twice.
func TestOneCallOneConnection(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if seen[r.RemoteAddr] = true; len(seen) == 3 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	for i, want := range []Kind{0, 0, Interrupted, 0} {
		wantKind(t, c.Put(t.Context(), []Action{Run, Stop, Reboot, Stop}[i], 0), want)
	}
	if len(seen) != 4 {
		t.Errorf("4 calls made %d connections", len(seen))
	}
}
