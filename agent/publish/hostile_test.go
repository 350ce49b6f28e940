package publish

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// tracked makes a client count its open connections.
func tracked(cfg *Config) *atomic.Int64 {
	var open atomic.Int64
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		open.Add(1)
		return &trackedConn{TCPConn: conn.(*net.TCPConn), closed: sync.OnceFunc(func() { open.Add(-1) })}, nil
	}
	return &open
}

type trackedConn struct {
	*net.TCPConn
	closed func()
}

func (c *trackedConn) Close() error {
	err := c.TCPConn.Close()
	c.closed()
	return err
}

func descriptors(t *testing.T) int {
	all, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skipf("no list of open descriptors: %v", err)
	}
	return len(all)
}

// Whatever a replica does, each PUT ends within its budget, takes little memory, and
// leaves no connection, goroutine, descriptor or line on standard error.
func TestHostileReplicaLeaksNothing(t *testing.T) { // not parallel, since it counts
	var stray bytes.Buffer
	log.SetOutput(&stray)
	defer log.SetOutput(os.Stderr)
	for name, answer := range hostile {
		t.Run(name, func(t *testing.T) {
			goroutines, fds := runtime.NumGoroutine(), descriptors(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			const puts = 40
			base, stop := rawListener(t, name, answer)
			cfg := Config{Addresses: []string{base}, RequestTimeout: 100 * time.Millisecond}
			open := tracked(&cfg)
			c := New(cfg)
			var wg sync.WaitGroup
			for range puts {
				wg.Go(func() {
					if a := c.Put(t.Context(), uuid.New(), destroyed(1)); a.Verdict != CannotTell || a.Err == nil || a.Sent != 1 {
						t.Errorf("%+v", a)
					}
				})
			}
			wg.Wait()
			if n := open.Load(); n != 0 {
				t.Errorf("%d connections are open after the last Put has returned", n)
			}
			closeClient(t, c)
			stop()
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / puts; each > 1<<20 {
				t.Errorf("a PUT allocates %d bytes", each)
			}
			for deadline := time.After(10 * time.Second); runtime.NumGoroutine() > goroutines; { // the last ones may be ending
				select {
				case <-time.After(time.Millisecond):
				case <-deadline:
					t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
				}
			}
			if n := descriptors(t); n > fds {
				t.Errorf("%d descriptors, %d before", n, fds)
			}
		})
	}
	if stray.Len() != 0 {
		t.Errorf("standard logger: %s", stray.String())
	}
}

// A good replica beside a hostile one acknowledges every record at once.
func TestHostileReplicaBesideAGoodOne(t *testing.T) {
	t.Parallel()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer good.Close()
	var wg sync.WaitGroup
	for name, answer := range hostile {
		wg.Go(func() {
			base, stop := rawListener(t, name, answer)
			defer stop()
			c := New(Config{Addresses: []string{base, good.URL}, RequestTimeout: 3 * time.Second})
			defer closeClient(t, c)
			for _, sent := range []int{2, 1} {
				if a := c.Put(t.Context(), uuid.New(), destroyed(1)); a.Verdict != Acked || a.Sent != sent {
					t.Errorf("%s: %+v, want %d PUTs", name, a, sent)
				}
			}
		})
	}
	wg.Wait()
}

// A replica that switches protocols and keeps the connection holds a place no longer
// than a PUT, and Close does not wait for it.
func TestSwitchingProtocolsHoldsNoPlace(t *testing.T) {
	t.Parallel()
	base, stop := rawListener(t, "", hostile["switch and hang"])
	defer stop()
	c := New(Config{Addresses: []string{base}, RequestTimeout: time.Minute})
	for range 2 * 16 {
		if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != CannotTell || a.Status != 101 {
			t.Fatalf("%+v", a)
		}
	}
	closeClient(t, c)
}

// An answer beyond the limit is none.
func TestTooLongAnswer(t *testing.T) {
	t.Parallel()
	base, stop := rawListener(t, "", hostile["endless header"])
	defer stop()
	c := New(Config{Addresses: []string{base}})
	defer closeClient(t, c)
	if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != CannotTell || a.Status != 0 || !errors.Is(a.Err, errTooLong) {
		t.Errorf("%+v", a)
	}
}

// The answer counts even if the replica sends more after it.
func TestMoreThanTheAnswer(t *testing.T) {
	t.Parallel()
	base, stop := rawListener(t, "", flood("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 500 Oh\r\n\r\n"))
	defer stop()
	c := New(Config{Addresses: []string{base}})
	defer closeClient(t, c)
	if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != Acked {
		t.Errorf("%+v", a)
	}
}

// The connection of a cancelled PUT is reset: unsent data must not arrive after the next
// record.
func TestCancelledConnectionIsReset(t *testing.T) {
	t.Parallel()
	seen := make(chan error, 1)
	base, stop := rawListener(t, "", func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		seen <- err
	})
	defer stop()
	c := New(Config{Addresses: []string{base}, RequestTimeout: 100 * time.Millisecond})
	defer closeClient(t, c)
	c.Put(t.Context(), uuid.New(), running(1))
	if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the replica sees %v, want a reset", err)
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	nexus := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	nexus.Config.ErrorLog = log.New(io.Discard, "", 0)
	nexus.StartTLS()
	defer nexus.Close()
	trusting := func(server string) (*tls.Config, error) {
		return &tls.Config{ServerName: server, RootCAs: nexus.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}, nil
	}
	for _, c := range []struct {
		tls  func(string) (*tls.Config, error)
		want Verdict
	}{{trusting, Acked}, {nil, CannotTell}} {
		cl := New(Config{Addresses: []string{nexus.URL}, TLS: c.tls})
		defer closeClient(t, cl)
		if a := cl.Put(t.Context(), uuid.New(), running(1)); a.Verdict != c.want {
			t.Errorf("%+v, want %q", a, c.want)
		}
	}
	for _, name := range []string{"hang", "garbage", "endless continue"} { // instead of a handshake
		base, stop := rawListener(t, name, hostile[name])
		defer stop()
		cl := New(Config{Addresses: []string{strings.Replace(base, "http", "https", 1)}, RequestTimeout: 100 * time.Millisecond})
		defer closeClient(t, cl)
		if a := cl.Put(t.Context(), uuid.New(), running(1)); a.Verdict != CannotTell || a.Err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestDefaultPorts(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{"http://nexus": "nexus:80", "https://nexus": "nexus:443",
		"http://[fd00::1]": "[fd00::1]:80", "http://[fd00::1]:12221": "[fd00::1]:12221"} {
		req, err := http.NewRequest(http.MethodPut, to+"/vmms/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostPort(req.URL); got != want {
			t.Errorf("%s is dialled at %s, want %s", to, got, want)
		}
	}
}

func TestProxiesAndRedirectsAreNotFollowed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var elsewhere atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer trap.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		nexus := httptest.NewServer(http.RedirectHandler(trap.URL, status))
		defer nexus.Close()
		c := New(Config{Addresses: []string{nexus.URL}})
		defer closeClient(t, c)
		if a := c.Put(t.Context(), uuid.New(), destroyed(1)); a.Verdict != CannotTell || a.Status != status {
			t.Errorf("%d: %+v", status, a)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}
