package publish

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// rawServer accepts connections, reads a whole request from each and then lets
// answer do what it likes; it closes the connection afterwards.
func rawServer(t *testing.T, answer func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				io.Copy(io.Discard, req.Body)
				answer(c)
			}
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func say(text string) func(net.Conn) { return func(c net.Conn) { io.WriteString(c, text) } }

// TestBadAnswersOverSockets: whatever a first replica does, it neither counts
// as an acknowledgement nor keeps the second one from giving it.
func TestBadAnswersOverSockets(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(net.Conn){
		"nothing":         func(net.Conn) {},
		"reset":           func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) },
		"garbage":         say("\x00\xff\x7fELF not HTTP at all\r\n\r\n"),
		"half a status":   say("HTTP/1.1 20"),
		"half a header":   say("HTTP/1.1 204 No Content\r\nContent-Le"),
		"garbage 200":     say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>"),
		"half a body":     say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
		"bad chunks":      say("HTTP/1.1 503 Oh\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
		"endless header":  endless("HTTP/1.1 204 No Content\r\nX: ", "x"),
		"endless body":    endless("HTTP/1.1 500 Oh\r\n\r\n", "y"),
		"status 99999":    say("HTTP/1.1 99999 Oh\r\n\r\n"),
		"only continue":   say("HTTP/1.1 100 Continue\r\n\r\n"),
		"switch protocol": say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
		"hang in header":  hang("HTTP/1.1 204 No Content\r\nX: "),
		"hang in body":    hang("HTTP/1.1 503 Oh\r\nContent-Length: 5\r\n\r\n{"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusNoContent)
			}))
			t.Cleanup(good.Close)
			p := newOver(t, rawServer(t, answer), good.URL)
			id := uuid.New()
			res := make(chan Result, 8)
			p.Offer(id, destroyed(1), func(r Result) { res <- r })
			select {
			case got := <-res:
				if !got.Acked || got.Attempts < 2 {
					t.Errorf("result is %+v", got)
				}
			case <-time.After(30 * time.Second):
				st, _ := p.Status(id)
				t.Fatalf("never acknowledged: %+v", st)
			}
		})
	}
}

// endless sends head and then filler for as long as anybody listens.
func endless(head, filler string) func(net.Conn) {
	return func(c net.Conn) {
		c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		_, err := io.WriteString(c, head)
		for block := strings.Repeat(filler, 16<<10); err == nil; {
			_, err = io.WriteString(c, block)
		}
	}
}

// hang sends head and then waits for the other side to lose patience.
func hang(head string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, head)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		c.Read(make([]byte, 1))
	}
}

func newOver(t testing.TB, addresses ...string) *Publisher {
	p := New(Config{Addresses: addresses, RequestTimeout: time.Second, RetryInitial: 10 * time.Millisecond})
	t.Cleanup(func() { closeNow(t, p) })
	return p
}

func TestRedirectsAndProxiesAreNotFollowed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var elsewhere atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer trap.Close()
	var asked atomic.Int32
	nexus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, trap.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer nexus.Close()
	p := newOver(t, nexus.URL)
	res := make(chan Result, 1)
	p.Offer(uuid.New(), destroyed(1), func(r Result) { res <- r })
	if got := <-res; !got.Acked || got.Attempts != 3 || elsewhere.Load() != 0 {
		t.Errorf("result is %+v, %d requests went elsewhere", got, elsewhere.Load())
	}
}

// TestDropAmidTraffic has no fake clock and no pauses: Offers, Drops and
// answers meet as the scheduler of the machine has it.
func TestDropAmidTraffic(t *testing.T) {
	t.Parallel()
	nexus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer nexus.Close()
	p := newOver(t, nexus.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for round := range 200 {
		id := uuid.New()
		var dropped atomic.Bool
		var late atomic.Int32
		for gen := range uint64(1 + round%5) {
			p.Offer(id, running(gen), func(Result) {
				if dropped.Load() {
					late.Add(1)
				}
			})
		}
		p.Drop(id)
		select {
		case <-p.Idle(id):
		case <-ctx.Done():
			t.Fatal("not idle long after Drop")
		}
		dropped.Store(true)
		if _, ok := p.Status(id); ok || late.Load() != 0 {
			t.Fatalf("round %d: %d notifications after Drop", round, late.Load())
		}
	}
}

func BenchmarkOfferToAcked(b *testing.B) {
	nexus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer nexus.Close()
	p := newOver(b, nexus.URL)
	id := uuid.New()
	floor := barePUT(b, nexus.URL+"/vmms/"+id.String())
	res := make(chan Result, 1)
	gen := uint64(0)
	for b.Loop() {
		gen++
		p.Offer(id, running(gen), func(r Result) { res <- r })
		<-res
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(floor), "x/bare-put")
}

// barePUT returns how long a PUT takes with nothing around it.
func barePUT(b *testing.B, to string) time.Duration {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	const n = 500
	var begin time.Time
	for i := range n + 50 {
		if i == 50 { // the first ones dial and warm up
			begin = time.Now()
		}
		req, err := http.NewRequest(http.MethodPut, to, strings.NewReader(fmt.Sprintf("%0200d", i)))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	return time.Since(begin) / n
}

func BenchmarkOfferWhileNexusHangs(b *testing.B) {
	f := newFake(b, func(call) reply { return reply{hang: true} })
	p := start(b, f, nil)
	ids := make([]uuid.UUID, 10_000)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for i := 0; b.Loop(); i++ {
		p.Offer(ids[i%len(ids)], running(uint64(i)), nil)
	}
}
