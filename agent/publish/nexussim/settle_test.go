package nexussim

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// After Settle all connections opened before it have ended, whatever is opened later.
func TestSettle(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	t.Cleanup(s.Close)
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	settle := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return s.Settle(ctx)
	}
	if err := settle(time.Minute); err != nil {
		t.Errorf("without connections: %v", err)
	}
	earlier := dial()
	if err := settle(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with an open connection: got error %v", err)
	}
	settled := make(chan error, 1)
	go func() { settled <- settle(time.Minute) }()
	earlier.Close()
	if err := <-settled; err != nil {
		t.Errorf("with a connection that ends: %v", err)
	}
	dial()
	go func() { settled <- settle(time.Minute) }()
	if err := s.SetFault(FaultRefuse); err != nil {
		t.Fatal(err)
	}
	if err := <-settled; err != nil {
		t.Errorf("with a port that is closed meanwhile: %v", err)
	}
	if err := settle(time.Minute); err != nil {
		t.Errorf("with a closed port: %v", err)
	}
}
