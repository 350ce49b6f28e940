package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/sledagent/sledagent/internal/dropshot"
)

const (
	// maxConsoles is how many connections to a serial console there may be at once.
	maxConsoles = 16
	// maxFrame is the largest frame of the console's output, and maxInput of its input, in bytes.
	maxFrame = 16 << 10
	maxInput = 64 << 10
	// frameBudget is how long a client may take to read a frame, and a guest to read a client's.
	// Then the connection is closed.
	frameBudget = 10 * time.Second
)

// A Console is a Machine with a serial console. Offsets count the bytes that the console has
// written since the VM was made. The methods are called without the lock.
type Console interface {
	// ReadConsole returns at most limit bytes from an offset on, or from the oldest one that is
	// kept, and the offset after them. more is closed when there are more; it is nil if there
	// will not be.
	ReadConsole(from uint64, limit int) (data []byte, next uint64, more <-chan struct{})
	// ConsoleEnd returns the offset after the newest byte.
	ConsoleEnd() uint64
	// WriteConsole sends input to the guest. It may block until ctx ends.
	WriteConsole(ctx context.Context, input []byte) error
}

// console returns the VM's console.
func (s *Server) console() (Console, *dropshot.Error) {
	s.lock()
	defer s.unlock()
	if s.vm == nil {
		return nil, NoInstance().Body.(*dropshot.Error)
	}
	if c, can := s.vm.machine.(Console); can {
		return c, nil
	}
	return nil, dropshot.Plain(http.StatusNotFound, "")
}

// A place is where to begin to read a console.
type place struct {
	fromStart, mostRecent *uint64
}

func (p place) offset(c Console) uint64 {
	end := c.ConsoleEnd()
	switch {
	case p.fromStart != nil:
		return *p.fromStart
	case p.mostRecent != nil:
		return end - min(end, *p.mostRecent)
	}
	return end
}

func readPlace(query url.Values) (p place, bad *dropshot.Error) {
	for name, into := range map[string]**uint64{"from_start": &p.fromStart, "most_recent": &p.mostRecent} {
		if *into, bad = readNumber(query, name); bad != nil {
			return p, bad
		}
	}
	if p.fromStart != nil && p.mostRecent != nil {
		return p, dropshot.BadRequest("from_start and most_recent exclude each other")
	}
	return p, nil
}

func readNumber(query url.Values, name string) (*uint64, *dropshot.Error) {
	if !query.Has(name) {
		return nil, nil
	}
	n, err := strconv.ParseUint(query.Get(name), 10, 64)
	if err != nil {
		return nil, dropshot.BadRequest(fmt.Sprintf("unable to parse query string: %s: want a number, got %q", name, query.Get(name)))
	}
	return &n, nil
}

// history answers a part of what the console has written.
func (s *Server) history(query url.Values) Answer {
	c, bad := s.console()
	if bad != nil {
		return Refusal(bad)
	}
	p, bad := readPlace(query)
	if bad == nil && p == (place{}) {
		bad = dropshot.BadRequest("want from_start or most_recent")
	}
	limit, badLimit := readNumber(query, "max_bytes")
	if bad == nil {
		bad = badLimit
	}
	if bad != nil {
		return Refusal(bad)
	}
	most := maxHistory
	if limit != nil {
		most = int(min(*limit, maxHistory))
	}
	data, next, _ := c.ReadConsole(p.offset(c), most)
	numbers := make([]int, len(data)) // as the API has them, not in base 64
	for i, b := range data {
		numbers[i] = int(b)
	}
	return OK(map[string]any{"data": numbers, "last_byte_offset": next})
}

// maxHistory is the most that a request for the history returns, in bytes.
const maxHistory = 64 << 10

// attach connects a client with the console until one of them ends.
func (s *Server) attach(ctx context.Context, w http.ResponseWriter, r *http.Request) *dropshot.Error {
	c, bad := s.console()
	if bad != nil {
		return bad
	}
	p, bad := readPlace(r.URL.Query())
	if bad != nil {
		return bad
	}
	select {
	case s.consoles <- struct{}{}:
		defer func() { <-s.consoles }()
	default:
		return dropshot.Plain(http.StatusServiceUnavailable, "TooManyConsoles")
	}
	from := p.offset(c)
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return nil // It has answered.
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxInput)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer cancel()
		takeInput(ctx, conn, c)
	}()
	sendOutput(ctx, conn, c, from)
	conn.CloseNow()
	cancel()
	<-read
	return nil
}

// takeInput sends what a client sends to the guest. Propolis ignores frames that are not binary.
func takeInput(ctx context.Context, conn *websocket.Conn, c Console) {
	for {
		kind, input, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if kind != websocket.MessageBinary {
			continue
		}
		budget, cancel := context.WithTimeout(ctx, frameBudget)
		err = c.WriteConsole(budget, input)
		cancel()
		if err != nil {
			_ = conn.Close(websocket.StatusInternalError, "the guest does not read its console")
			return
		}
	}
}

// sendOutput sends the console's output from an offset on. A client that is too slow misses what
// is not kept any more.
func sendOutput(ctx context.Context, conn *websocket.Conn, c Console, from uint64) {
	for {
		data, next, more := c.ReadConsole(from, maxFrame)
		if from = next; len(data) > 0 {
			budget, cancel := context.WithTimeout(ctx, frameBudget)
			err := conn.Write(budget, websocket.MessageBinary, data)
			cancel()
			if err != nil {
				return
			}
			continue
		}
		if more == nil {
			_ = conn.Close(websocket.StatusNormalClosure, "the VM has ended")
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}
