package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	c := newConsole()
	_, _, changed := c.read(0, 10)
	fmt.Fprint(c, "hello")
	<-changed
	for _, v := range []struct {
		from  uint64
		limit int
		want  string
		next  uint64
	}{{0, 10, "hello", 5}, {2, 10, "llo", 5}, {2, 2, "ll", 4}, {5, 10, "", 5}, {7, 10, "", 5}} {
		if got, next, _ := c.read(v.from, v.limit); string(got) != v.want || next != v.next {
			t.Errorf("from %d at most %d: got %q until %d, want %q until %d", v.from, v.limit, got, next, v.want, v.next)
		}
	}
	// Only the end is kept. Offsets count from the beginning.
	_, _ = c.Write(bytes.Repeat([]byte("x"), maxHistory-2))
	if got, next, _ := c.read(0, 3); string(got) != "lox" || next != 6 {
		t.Errorf("after many bytes: got %q until %d", got, next)
	}
	if len(c.kept) > maxHistory || c.length() != maxHistory+3 {
		t.Errorf("%d bytes are kept of %d", len(c.kept), c.length())
	}
	_, _, changed = c.read(c.length(), 1)
	c.end()
	<-changed
	if _, _, changed := c.read(0, 1); changed != nil {
		t.Error("there will be more after the end")
	}
}

// The log has a console's lines, without control characters, and no more than a bounded number of
// a guest that floods it.
func TestConsoleLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	input := "a\x1b[1mb\r\n\r\n" + strings.Repeat("y", maxConsoleLine+1) + "\n" + strings.Repeat("flood\n", 3*lineBurst) + "last"
	newConsole().copyFrom(strings.NewReader(input), zerolog.New(&out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var first struct{ Console string }
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Console != "a?[1mb" {
		t.Errorf("first line %s", lines[0])
	}
	if len(lines) < lineBurst || len(lines) > lineBurst+2000 {
		t.Errorf("%d lines are logged", len(lines))
	}
}

// A slowPort takes everything, and its time to be cut off.
type slowPort struct {
	net.Conn
	writes chan struct{}
	cuts   chan struct{}
}

func (p slowPort) Write(data []byte) (int, error) {
	<-p.writes
	return len(data), nil
}

func (p slowPort) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() {
		<-p.cuts
	}
	return nil
}

// A client that is cut off does not cut off the next one.
func TestConsoleTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		port := slowPort{writes: make(chan struct{}), cuts: make(chan struct{})}
		c := newConsole()
		c.connect(port)
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan string, 2)
		send := func(ctx context.Context, name string) {
			_ = c.send(ctx, []byte(name))
			sent <- name
		}
		go send(ctx, "first")
		synctest.Wait()
		go send(t.Context(), "second")
		cancel()
		port.writes <- struct{}{} // The first is still being cut off.
		next := func() bool {
			synctest.Wait()
			select {
			case port.writes <- struct{}{}:
				return true
			default:
				return false
			}
		}
		if next() {
			t.Error("the second's turn has begun")
		}
		close(port.cuts)
		next()
		<-sent
		<-sent
	})
}
