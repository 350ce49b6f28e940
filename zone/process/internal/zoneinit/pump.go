package zoneinit

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxBuffered bounds the buffered output of a server, in bytes.
const maxBuffered = 1 << 20

// pieceSize is how many bytes are written at a time.
const pieceSize = 16 << 10

// A pump copies a server's output to its log. The server never waits for the disk:
// output is dropped while the buffer is full, and the log gets a line with the number of
// dropped bytes once it can be written again.
type pump struct {
	// more wakes the writer.
	more chan struct{}
	// done is closed when everything was written. written counts the pieces.
	done    chan struct{}
	written atomic.Int64

	mu      sync.Mutex
	buffer  []byte
	dropped int
	ended   bool
}

// startPump starts copying from one to the other.
func startPump(from io.Reader, to io.Writer) *pump {
	p := &pump{more: make(chan struct{}, 1), done: make(chan struct{})}
	go p.read(from)
	go func() {
		defer close(p.done)
		p.write(to)
	}()
	return p
}

// drain waits until everything was written, or until no piece was written for limit.
func (p *pump) drain(limit time.Duration) {
	last := p.written.Load()
	for {
		select {
		case <-p.done:
			return
		case <-time.After(limit):
		}
		now := p.written.Load()
		if now == last {
			return
		}
		last = now
	}
}

func (p *pump) read(from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.put(buf[:n], err != nil)
		if err != nil {
			return
		}
	}
}

func (p *pump) put(data []byte, last bool) {
	p.mu.Lock()
	if p.dropped > 0 || len(p.buffer)+len(data) > maxBuffered {
		p.dropped += len(data)
	} else {
		p.buffer = append(p.buffer, data...)
	}
	p.ended = last
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *pump) write(to io.Writer) {
	var spare []byte
	for range p.more {
		data, dropped, ended := p.take(spare)
		for piece := range slices.Chunk(data, pieceSize) {
			_, _ = to.Write(piece) // after an error the piece is lost
			p.written.Add(1)
		}
		if dropped > 0 {
			_, _ = fmt.Fprintf(to, "\n[%d bytes of output were dropped: the disk did not take them in time]\n", dropped)
		}
		if ended {
			return
		}
		spare = data[:0]
	}
}

// take returns the buffered output and makes spare the buffer.
func (p *pump) take(spare []byte) (data []byte, dropped int, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, dropped, ended = p.buffer, p.dropped, p.ended
	p.buffer, p.dropped = spare, 0
	return data, dropped, ended
}
