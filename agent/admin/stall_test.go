package admin_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/internal/conns/connstest"
)

// counting counts open subscriptions.
type counting struct {
	*admintest.Agent
	open atomic.Int32
}

func (c *counting) Subscribe(n int) (<-chan admin.NamedEvent, func()) {
	events, cancel := c.Agent.Subscribe(n)
	c.open.Add(1)
	return events, sync.OnceFunc(func() { cancel(); c.open.Add(-1) })
}

func inBubble(t *testing.T, test func(t *testing.T, agent *counting, l *connstest.Pipes)) {
	synctest.Test(t, func(t *testing.T) {
		agent := &counting{Agent: admintest.New(admin.About{}, status(1))}
		server, l := admin.New(agent, admin.Options{Log: zerolog.Nop()}), connstest.New()
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		test(t, agent, l)
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAStalledReaderIsCutOff(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, agent *counting, l *connstest.Pipes) {
		conn := l.Connect(t)
		defer func() { _ = conn.Close() }()
		// The request has a body, to verify that its time limit does not end the stream.
		if _, err := conn.Write([]byte("GET /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 4096)); err != nil { // the headers, and no more
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Hour) // an idle stream stays open
		if agent.open.Load() != 1 {
			t.Fatal("the idle stream was cut off")
		}
		agent.Emit(id(1), event(1))
		time.Sleep(9 * time.Second)
		if agent.open.Load() != 1 {
			t.Error("the stalled stream was cut off too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if agent.open.Load() != 0 {
			t.Error("the stalled stream is still open")
		}
	})
}

func TestAReaderThatNeverBeginsIsCutOff(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, agent *counting, l *connstest.Pipes) {
		conn := l.Connect(t)
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte("GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if agent.open.Load() != 0 {
			t.Error("the stream is still open")
		}
	})
}

func TestSlowRequestsAreCutOff(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"headers": "GET /v1/agent HTTP/1.1\r\nHost: a\r\nX-Slow: ",
		"body":    "POST /v1/vmms/" + id(1).String() + "/kill HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nslow",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, agent *counting, l *connstest.Pipes) {
				conn := l.Connect(t)
				defer func() { _ = conn.Close() }()
				if _, err := conn.Write([]byte(request)); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				for {
					if _, err := conn.Read(make([]byte, 4096)); err != nil {
						break
					}
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				if len(agent.Killed()) > 0 {
					t.Error("a request that never ended killed a VMM")
				}
			})
		})
	}
}

// When all connections are in use, a new one replaces the oldest idle one.
func TestIdleConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, _ *counting, l *connstest.Pipes) {
		var all []net.Conn
		for range 100 {
			conn := l.Connect(t)
			all = append(all, conn)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		begun := time.Now()
		conn := l.Connect(t)
		answer := make([]byte, 12)
		if _, err := conn.Write([]byte("GET /v1/agent HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 200" || time.Since(begun) > time.Second {
			t.Errorf("the answer is %q, %v, after %v", answer, err, time.Since(begun))
		}
		if _, err := all[0].Read(answer); err == nil {
			t.Error("the oldest connection is still open")
		}
		for _, c := range append(all, conn) {
			_ = c.Close()
		}
	})
}
