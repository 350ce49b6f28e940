package nexussim

import (
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
)

func TestParseFault(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"refuse", "silent", "status=503", "status=404@" + vmmA.String(), "delay=250ms",
		"fail-percent=12.5", "garbage", "half", "reset", "lost-answer", "stale-accept"} {
		f, err := ParseFault(good)
		if err != nil || f.String() != good {
			t.Errorf("ParseFault(%q) = %v, %v", good, f, err)
		}
	}
	for _, bad := range []string{"", "tired", "refuse=1", "status", "status=204", "status=42", "status=x", "delay=-1s", "delay=2h",
		"delay=soon", "fail-percent=101", "fail-percent=NaN", "silent@vm-1", "refuse@" + vmmA.String()} {
		if f, err := ParseFault(bad); err == nil {
			t.Errorf("ParseFault(%q) = %v, want an error", bad, f)
		}
	}
}

// What a client sees of each fault through a real socket, and what was stored.
func TestFaults(t *testing.T) {
	t.Parallel()
	errReset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	errRefused := func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
	errLate := func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
	tests := []struct {
		fault  string
		fails  func(error) bool // nil: there is an answer
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
			budget := patience
			if tt.fails != nil {
				budget = 2 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			defer cancel()
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

// A Nexus that was down comes back at the same address, with what it knew.
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

// Refusing also cuts the connections that are open, as a crash does.
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
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			update := body(t, record(vmm.WireRunning, 3))
			fmt.Fprintf(conn, "PUT /vmms/%s HTTP/1.1\r\nHost: nexus\r\nApi-Version: 1.0.0\r\nContent-Length: %d\r\n\r\n%s",
				vmmA, len(update), update)
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

// A request is not held for longer than its client waits.
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
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("the handler ended with %v, want http.ErrAbortHandler", p)
				}
			}()
			s.Handler().ServeHTTP(httptest.NewRecorder(), r)
		}()
		if held := time.Since(begun); held != time.Hour {
			t.Errorf("held for %v", held)
		}
	})
}

// Lifting the silence answers nobody who waits already.
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

// The delay is on the clock of the bubble, and the real handler outlives a
// client that gave up: its update is stored all the same.
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

// Close frees whoever is held: goleak would find the goroutines.
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
