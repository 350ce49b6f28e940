//go:build linux

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A hostile client is what it does with one connection while that is open.
var hostileClients = map[string]func(net.Conn){
	"endless header": func(c net.Conn) {
		write(c, "GET /zones HTTP/1.1\r\nHost: a\r\nX: ")
		for write(c, strings.Repeat("x", 4096)) {
		}
	},
	"endless headers": func(c net.Conn) {
		write(c, "GET /zones HTTP/1.1\r\nHost: a\r\n")
		for write(c, "X: x\r\n") {
		}
	},
	"endless body": func(c net.Conn) {
		write(c, "PUT /vmms/"+uuid.NewString()+" HTTP/1.1\r\nHost: a\r\napi-version: 48.0.0\r\nTransfer-Encoding: chunked\r\n\r\n")
		for write(c, "1000\r\n"+strings.Repeat(" ", 4096)+"\r\n") {
		}
	},
	"slow body": func(c net.Conn) {
		write(c, "PUT /vmms/"+uuid.NewString()+" HTTP/1.1\r\nHost: a\r\napi-version: 48.0.0\r\nContent-Length: 1000000\r\n\r\n")
		write(c, strings.Repeat(" ", 600_000))
		trickle(c)
	},
	"slow header": func(c net.Conn) {
		write(c, "GET /zones HTTP/1.1\r\nX: ")
		trickle(c)
	},
	"garbage": func(c net.Conn) {
		junk := make([]byte, 1024)
		_, _ = rand.Read(junk)
		for write(c, string(junk)) {
		}
	},
	"half closed": func(c net.Conn) {
		write(c, "PUT /vmms/"+uuid.NewString()+" HTTP/1.1\r\nHost: a\r\napi-version: 48.0.0\r\nContent-Length: 10\r\n\r\n{")
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	},
	"reset": func(c net.Conn) {
		write(c, "GET /zones HTTP/1.1\r\nHost: a\r\napi-version: 48.0.0\r\n\r\n")
		_ = c.(*net.TCPConn).SetLinger(0)
	},
	"reads nothing": func(c net.Conn) {
		for write(c, "GET /zones?a;b HTTP/1.1\r\nHost: a\r\napi-version: 48.0.0\r\n\r\n") {
		}
	},
	"refused requests": func(c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for write(c, "PUT /vmms/x HTTP/1.1\r\nHost: a\r\napi-version: 48.0.0\r\nContent-Length: 0\r\n\r\n") {
		}
	},
	"idle":    func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	"upgrade": func(c net.Conn) { write(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); _, _ = io.Copy(io.Discard, c) },
}

// write sends s after a pause. The clients share the processors with the agent, which is to be
// flooded, not starved.
func write(c net.Conn, s string) bool {
	time.Sleep(50 * time.Millisecond) // sleep: a client's pace
	_, err := io.WriteString(c, s)
	return err == nil
}

func trickle(c net.Conn) {
	for write(c, " ") {
		time.Sleep(20 * time.Millisecond) // sleep: a client that sends slowly
	}
}

// Clients that send everything but requests, on as many connections as they get, do not prevent stops
// or delay deadlines. The resources that they use are bounded, and released afterwards.
func TestHostileClients(t *testing.T) {
	h := newProcessHarness(t, setup{sequential: true})
	h.table("log")["level"] = "info"
	a := h.start()
	v := h.launch()
	v.setFaults("hang-stop")
	before := h.usage()

	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	for name, attack := range hostileClients {
		n := 40
		if name == "idle" {
			n = 800
		}
		for range n {
			clients.Go(func() {
				for ctx.Err() == nil {
					c, err := net.Dial("tcp", h.addr)
					if err != nil {
						continue
					}
					stop := context.AfterFunc(ctx, func() { _ = c.Close() })
					attack(c)
					stop()
					_ = c.Close()
					// Connections that were closed before they were accepted stay in the
					// kernel's queue. If they come faster than a loaded machine accepts them,
					// thousands are before a request that is to be answered.
					time.Sleep(time.Second) // sleep: a client's pace
				}
			})
		}
	}
	begun := time.Now()
	worst := usage{}
	for range 5 {
		v.record()
		worst = worst.or(h.usage())
		time.Sleep(500 * time.Millisecond) // sleep: the clients go on meanwhile
	}
	v.stop(time.Second)
	v.gone()
	took := time.Since(begun)
	cancel()
	clients.Wait()
	a.runs(t)

	t.Logf("before %+v, at worst %+v, in %v", before, worst, took)
	// Bodies may take 32 MiB of it, and their decoding several times that.
	if worst.peak > 400<<20 && !raceDetector() {
		t.Errorf("the agent took %d MiB of memory", worst.peak>>20)
	}
	// The descriptor of a connection that was closed is free when the goroutine that
	// reads from it has run.
	if worst.descriptors > 2*1024+256 {
		t.Errorf("the agent had %d descriptors", worst.descriptors)
	}
	if worst.goroutines > 3*1024+256 {
		t.Errorf("the agent had %d goroutines", worst.goroutines)
	}
	if bytes := worst.log - before.log; bytes > 20_000*int(1+took/time.Second) {
		t.Errorf("the clients made the agent log %d bytes in %v", bytes, took)
	}
	waitFor(t, func() string {
		if u := h.usage(); u.descriptors > before.descriptors+8 || u.goroutines > before.goroutines+16 {
			return fmt.Sprintf("of %+v it holds %+v", before, u)
		}
		return ""
	})
}
