package qemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/sledagent/sledagent/internal/plain"
)

// maxHistory is how many bytes of the console are kept.
const maxHistory = 64 << 10

// Console lines in the log: a boot in full, but no more than this when a guest floods its console.
const (
	maxConsoleLine = 1 << 10 // bytes
	lineBurst      = 4000
	linesPerSecond = 50
)

// A console is what a serial port has written: a history of bounded length. It is safe for
// concurrent use.
type console struct {
	// turn has one token, for the client that may send input.
	turn chan struct{}

	mu      sync.Mutex
	kept    []byte
	written uint64 // bytes since the VM was made
	changed chan struct{}
	ended   bool
	input   net.Conn // nil before there is a guest
}

func newConsole() *console {
	return &console{turn: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Write adds to the history.
func (c *console) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, data...)
	if more := len(c.kept) - maxHistory; more > 0 {
		c.kept = slices.Delete(c.kept, 0, more)
	}
	c.written += uint64(len(data))
	c.wake()
	return len(data), nil
}

// end tells that nothing more will be written.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.wake()
}

// connect sets where input goes.
func (c *console) connect(input net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.input = input
}

// send sends input to the guest, until ctx ends. It is an error if the guest does not read.
func (c *console) send(ctx context.Context, input []byte) error {
	c.mu.Lock()
	port := c.input
	c.mu.Unlock()
	if port == nil {
		return errors.New("console is not there yet")
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	deadline, _ := ctx.Deadline()
	if err := port.SetWriteDeadline(deadline); err != nil {
		return err
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = port.SetWriteDeadline(time.Now())
	})
	_, err := port.Write(input)
	if !stop() {
		<-cut // It must not end the next one's turn.
	}
	return err
}

func (c *console) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// read returns what was written from an offset on, at most limit bytes. If the offset is older
// than the history, that is from its beginning; if it is in the future, nothing. next is the
// offset after the data. changed is closed when there is more; it is nil if there will not be.
func (c *console) read(from uint64, limit int) (data []byte, next uint64, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.written - uint64(len(c.kept))
	from = min(max(from, first), c.written)
	data = c.kept[from-first:]
	data = bytes.Clone(data[:min(len(data), limit)])
	if !c.ended {
		changed = c.changed
	}
	return data, from + uint64(len(data)), changed
}

// length returns how many bytes were written since the VM was made.
func (c *console) length() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written
}

// A history is what a console has kept, of all that was written since the VM was made.
type history struct {
	Kept    []byte `json:"kept"`
	Written uint64 `json:"written"`
}

func (c *console) history() *history {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &history{bytes.Clone(c.kept), c.written}
}

// inherit replaces the history with that of the VM's former server.
func (c *console) inherit(h history) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = bytes.Clone(h.Kept[max(0, len(h.Kept)-maxHistory):])
	c.written = max(h.Written, uint64(len(c.kept)))
	c.wake()
}

// tail returns the end of the history as text for the log.
func (c *console) tail(limit int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return plain.Line(string(c.kept[max(0, len(c.kept)-limit):]), limit)
}

// copyFrom reads the port until it is closed, and logs its lines.
func (c *console) copyFrom(port io.Reader, log zerolog.Logger) {
	defer c.end()
	lines := consoleLog{log: log, allowed: rate.NewLimiter(linesPerSecond, lineBurst)}
	for buf := make([]byte, 4<<10); ; {
		n, err := port.Read(buf)
		_, _ = c.Write(buf[:n]) // never fails
		lines.add(buf[:n])
		if err != nil {
			lines.flush()
			return
		}
	}
}

// A consoleLog logs a console line by line.
type consoleLog struct {
	log     zerolog.Logger
	allowed *rate.Limiter
	line    []byte
	dropped int
}

func (l *consoleLog) add(data []byte) {
	for _, b := range data {
		if b == '\n' || len(l.line) >= maxConsoleLine {
			l.flush()
		}
		if b != '\n' && b != '\r' {
			l.line = append(l.line, b)
		}
	}
}

func (l *consoleLog) flush() {
	if len(l.line) == 0 {
		return
	}
	text := plain.Line(string(l.line), maxConsoleLine)
	l.line = l.line[:0]
	if !l.allowed.Allow() {
		l.dropped++
		return
	}
	if l.dropped > 0 {
		l.log.Warn().Int("lines", l.dropped).Msg("console is too fast; lines are not logged")
		l.dropped = 0
	}
	l.log.Info().Str("console", text).Msg("guest")
}
