package nexussim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/dropshot"
)

func TestParseFault(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"refuse", "silent", "status=503", "status=404@" + vmmA.String(), "delay=250ms",
		"fail-percent=12.5", "garbage", "half", "reset", "lost-answer", "stale-accept",
		"cut", "page=404", "empty=410@" + vmmA.String(), "switch", "interim", "endless-header", "endless-body", "trickle", "hang-body", "dns-empty"} {
		f, err := ParseFault(good)
		if err != nil || f.String() != good {
			t.Errorf("ParseFault(%q) = %v, %v", good, f, err)
		}
	}
	for _, bad := range []string{"", "tired", "refuse=1", "status", "status=204", "status=42", "status=x", "delay=-1s", "delay=2h",
		"delay=soon", "fail-percent=101", "fail-percent=NaN", "silent@vm-1", "refuse@" + vmmA.String(), "cut@" + vmmA.String(), "dns-fail@" + vmmA.String(),
		"page", "page=204", "empty=101", "switch=1"} {
		if f, err := ParseFault(bad); err == nil {
			t.Errorf("ParseFault(%q) = %v, want an error", bad, f)
		}
	}
}

// What a client receives for each fault over a real socket, and what is stored.
func TestFaults(t *testing.T) {
	t.Parallel()
	errReset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	errRefused := func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
	// The client may be writing when the connection is cut.
	errCut := func(err error) bool { return errReset(err) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) }
	errAny := func(err error) bool { return err != nil }
	errLate := func(err error) bool { return errors.Is(err, context.Canceled) } // it has given up
	tests := []struct {
		fault  string
		fails  func(error) bool // nil: an answer is expected
		status int
		stored bool
		effect Effect
	}{
		{fault: "refuse", fails: errRefused},
		{fault: "silent", fails: errLate, effect: Faulted},
		{fault: "silent@" + vmmA.String(), fails: errLate, effect: Faulted},
		{fault: "silent@" + vmmB.String(), status: 204, stored: true, effect: Updated},
		{fault: "reset", fails: errReset, effect: Faulted},
		{fault: "half", fails: errLate, stored: true, effect: Updated},
		{fault: "lost-answer", fails: errReset, stored: true, effect: Updated},
		{fault: "status=418", status: 418, effect: Faulted},
		{fault: "garbage", status: 200, effect: Faulted},
		{fault: "cut", fails: errCut},
		{fault: "page=404", status: 404, effect: Faulted},
		{fault: "page=404@" + vmmB.String(), status: 204, stored: true, effect: Updated},
		{fault: "empty=410", status: 410, effect: Faulted},
		{fault: "interim", fails: errAny, effect: Faulted}, // the client's limit or its timeout
		{fault: "endless-header", fails: errAny, effect: Faulted},
		{fault: "endless-body", fails: errAny, effect: Faulted},
		{fault: "trickle", fails: errLate, effect: Faulted},
		{fault: "hang-body", fails: errLate, effect: Faulted},
		{fault: "stale-accept", status: 204, effect: Lied},
		{fault: "fail-percent=100", status: 500, effect: Faulted},
		{fault: "fail-percent=0", status: 204, stored: true, effect: Updated},
		{fault: "delay=10ms", status: 204, stored: true, effect: Updated},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, Options{})
			c := listen(t, s)
			setFault(t, s, tt.fault)
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			if tt.fails != nil && tt.effect != "" {
				go giveUp(ctx, cancel, s, tt.effect)
			}
			status, answer, err := c.put(ctx, vmmA, record(vmm.WireRunning, 3))
			if tt.fails == nil && (err != nil || status != tt.status) || tt.fails != nil && !tt.fails(err) {
				t.Fatalf("status %d, body %q, error %v", status, answer, err)
			}
			row, _ := s.Row(vmmA)
			if stored := row.Record != nil; stored != tt.stored || row.LastEffect != tt.effect {
				t.Errorf("stored: %v, effect %q; want %v, %q", stored, row.LastEffect, tt.stored, tt.effect)
			}
		})
	}
}

// giveUp makes a client give up that still waits for its answer a moment after its PUT had an
// effect.
func giveUp(ctx context.Context, cancel context.CancelFunc, s *Server, effect Effect) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for seen := 0; seen < 20; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if row, _ := s.Row(vmmA); row.LastEffect == effect {
			seen++
		}
	}
	cancel()
}

// An answer of an ingress does not have Nexus's error body; an answer that Nexus is set to
// give has it.
func TestIngressAnswers(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]struct{ ctype, has string }{
		"status=404": {"application/json", `"request_id"`},
		"page=404":   {"text/html", "<h1>404 Not Found</h1>"},
		"page=502":   {"text/html", "<h1>502 Bad Gateway</h1>"},
		"empty=403":  {"", ""},
	} {
		s := newServer(t, Options{})
		setFault(t, s, fault)
		w := put(t, s, vmmA, record(vmm.WireRunning, 3))
		byNexus := fault == "status=404"
		if got := w.Header().Get("Content-Type"); got != want.ctype || !strings.Contains(w.Body.String(), want.has) ||
			want.has == "" && w.Body.Len() > 0 || byNexus != (w.Header().Get(dropshot.RequestID) != "") {
			t.Errorf("%s: %v %q", fault, w.Header(), w.Body)
		}
		if puts, _ := s.Puts(0); len(puts) != 1 || puts[0].Answer != w.Code || puts[0].Effect != Faulted {
			t.Errorf("%s: %+v", fault, puts)
		}
	}
}

// A connection that switched protocols stays open until one side closes it.
func TestSwitchedConnectionIsKept(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	setFault(t, s, "switch")
	conn, err := net.Dial("tcp", strings.TrimPrefix(listen(t, s).base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, record(vmm.WireRunning, 3))
	answer := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answer, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", resp, err)
	}
	setFault(t, s) // removing the fault does not end it
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := answer.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection ended with %v", err)
	}
}

func send(t *testing.T, conn net.Conn, rec vmm.Record) {
	t.Helper()
	update := body(t, rec)
	_, err := fmt.Fprintf(conn, "PUT /vmms/%s HTTP/1.1\r\nHost: nexus\r\nApi-Version: 1.0.0\r\nContent-Length: %d\r\n\r\n%s",
		vmmA, len(update), update)
	if err != nil {
		t.Fatal(err)
	}
}

// A Nexus that was down is reachable at the same address again, with its rows.
func TestRefuseAndReopen(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	c := listen(t, s)
	for range 5 {
		setFault(t, s, "refuse")
		if _, _, err := c.put(t.Context(), vmmA, record(vmm.WireRunning, 3)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("closed port: %v", err)
		}
		setFault(t, s)
		if status, _, err := c.put(t.Context(), vmmA, record(vmm.WireRunning, 3)); status != 204 {
			t.Fatalf("opened again: %d, %v", status, err)
		}
	}
	if row, _ := s.Row(vmmA); row.Puts != 5 || row.Updates != 1 {
		t.Errorf("%d PUTs, %d updates", row.Puts, row.Updates)
	}
}

// Refusing also cuts open connections, as a crash does.
func TestRefuseCutsHeldRequests(t *testing.T) {
	t.Parallel()
	for hold, sent := range map[string]string{"silent": "", "half": "HTTP/1.1 204 No Content\r\nX-Request-Id: "} {
		t.Run(hold, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, Options{})
			setFault(t, s, hold)
			conn, err := net.Dial("tcp", strings.TrimPrefix(listen(t, s).base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
				t.Fatal(err)
			}
			send(t, conn, record(vmm.WireRunning, 3))
			if err := s.Wait(t.Context(), vmmA, func(r Row) bool { return r.LastEffect != "" }); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != sent {
				t.Fatalf("sent %q, %v", got, err)
			}
			setFault(t, s, "refuse")
			if n, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the held request was not cut: %d bytes, %v", n, err)
			}
		})
	}
}

// A request is held no longer than its client waits.
func TestSilenceEndsWithTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		defer s.Close()
		setFault(t, s, "silent")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPut, "/vmms/"+vmmA.String(),
			strings.NewReader(body(t, record(vmm.WireRunning, 3))))
		r.Header.Set("api-version", APIVersion)
		begun := time.Now()
		func() {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("the handler ended with %v, want http.ErrAbortHandler", err)
				}
			}()
			s.Handler().ServeHTTP(httptest.NewRecorder(), r)
		}()
		if held := time.Since(begun); held != time.Hour {
			t.Errorf("held for %v", held)
		}
	})
}

// Removing the fault does not answer requests that are held already.
func TestSilenceLasts(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	c := listen(t, s)
	setFault(t, s, "silent")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, _, err := c.put(ctx, vmmA, record(vmm.WireRunning, 3))
		done <- err
	}()
	if err := s.Wait(ctx, vmmA, func(r Row) bool { return r.Puts == 1 }); err != nil {
		t.Fatal(err)
	}
	setFault(t, s)
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the held request ended with %v", err)
	}
}

func TestFailPercentIsSeeded(t *testing.T) {
	t.Parallel()
	outcomes := func(seed uint64) string {
		s := newServer(t, Options{Seed: seed})
		setFault(t, s, "fail-percent=30")
		var b strings.Builder
		for gen := range uint64(200) {
			b.WriteByte("+-"[put(t, s, vmmA, record(vmm.WireRunning, gen)).Code/500])
		}
		return b.String()
	}
	one := outcomes(1)
	if again := outcomes(1); again != one {
		t.Error("the same seed fails other updates")
	}
	if outcomes(2) == one {
		t.Error("another seed fails the same updates")
	}
	if n := strings.Count(one, "-"); n < 30 || n > 90 {
		t.Errorf("%d of 200 failed, want about 60", n)
	}
}

// The delay uses the bubble's clock. The handler continues after the client has
// disconnected, and its update is stored.
func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		defer s.Close()
		setFault(t, s, "delay=10m")
		begun := time.Now()
		go put(t, s, vmmA, record(vmm.WireRunning, 3))
		if err := s.Wait(t.Context(), vmmA, func(r Row) bool { return r.Gen() == 3 }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 10*time.Minute {
			t.Errorf("stored after %v", took)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.Wait(ctx, vmmA, func(r Row) bool { return r.ID != vmmA })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
	})
}

// Close releases held requests: goleak would find their goroutines.
func TestCloseFreesHeldRequests(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	c := listen(t, s)
	setFault(t, s, "silent")
	done := make(chan error, 1)
	go func() {
		_, _, err := c.put(t.Context(), vmmA, record(vmm.WireRunning, 3))
		done <- err
	}()
	if err := s.Wait(t.Context(), vmmA, func(r Row) bool { return r.Puts == 1 }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := <-done; err == nil {
		t.Error("a held request got an answer")
	}
	if _, err := s.Listen("127.0.0.1:0"); err == nil {
		t.Error("a closed server listens")
	}
	setFault(t, s)
}
