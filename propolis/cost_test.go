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
	"testing/synctest"
	"time"
)

// goroutines counts those that run this package's client or its transport.
func goroutines() (watches, transports int) {
	stacks := make([]byte, 16<<20)
	for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		switch {
		case strings.Contains(g, "(*Client).Watch("):
			watches++
		case strings.Contains(g, "net/http.(*persistConn)"), strings.Contains(g, "net/http.(*Transport)"):
			transports++
		}
	}
	return watches, transports
}

// TestIdleWatchIsCheap is not parallel, since it counts what the process has.
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
	watching, transports := goroutines()
	if watching != vmms || transports > 2*vmms {
		t.Errorf("%d watches run %d goroutines and %d of the transport, want one and two each", vmms, watching, transports)
	}
	// With what this test's own server holds, but without stacks.
	if each := (heap() - before) / vmms; each > 32<<10 {
		t.Errorf("a watch costs %d bytes", each)
	} else {
		t.Logf("a watch costs %d bytes and %d goroutines of %d watches' transports", each, transports, vmms)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// serveQuiet serves VMs that are at generation 1 and stay there. It says on
// waiting when a poll for the second one has arrived, while there is room.
func serveQuiet(t *testing.T, waiting chan<- struct{}) net.Addr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
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
			}()
		}
	}()
	return listener.Addr()
}

// TestIdleConnections: however many calls there were at once, one connection
// stays, and not for long.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	inMemory(t, func(_ *memory, _ uint64, w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		say(w, 1, StateRunning)
	}, func(t *testing.T, m *memory) {
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() {
				if _, err := m.client.Monitor(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		synctest.Wait()
		if n := m.open.Load(); n != 1 {
			t.Errorf("%d connections are open after the calls, want 1", n)
		}
		time.Sleep(2 * idleTimeout)
		synctest.Wait()
		if n := m.open.Load(); n != 0 {
			t.Errorf("%d connections are open after a while, want none", n)
		}
	})
}

// TestStopWaitsForNothing: whatever else hangs, a stop has its own connection.
func TestStopWaitsForNothing(t *testing.T) {
	t.Parallel()
	const hung = 20
	var waiting, calls sync.WaitGroup
	waiting.Add(2 * hung)
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
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
	begun := time.Now()
	if err := c.Put(t.Context(), Stop); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > ample/4 {
		t.Errorf("the stop took %v", took)
	}
}

// TestReplay: a stop survives a kept connection that is dead; what must not be
// done twice is not sent twice.
func TestReplay(t *testing.T) {
	t.Parallel()
	for action, want := range map[Action]Kind{Stop: 0, Run: 0, Reboot: Interrupted} {
		puts := 0
		c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if puts++; puts == 2 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(http.StatusNoContent)
		})
		if err := c.Put(t.Context(), Run); err != nil {
			t.Fatal(err)
		}
		wantKind(t, c.Put(t.Context(), action), want)
	}
}
