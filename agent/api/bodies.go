package api

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// bodyMemory bounds the bytes of all bodies in memory, beyond smallBody each.
	bodyMemory = 32 << 20
	// bodyWait is how long a body waits for memory.
	bodyWait = 5 * time.Second
	// slowBody is the time after which a body that is still being read loses its memory
	// to one that waits. Over a rack's network a body takes milliseconds.
	slowBody = time.Second
)

var (
	errManyBodies = errors.New("too many large request bodies are being read; try again")
	errSlowBody   = errors.New("request body was sent too slowly while others waited for its memory; try again")
)

// bodies accounts for the memory of request bodies, in bytes: while they are read, and
// for registrations until they are on disk.
type bodies struct {
	mu     sync.Mutex
	free   int
	places map[*place]struct{} // bodies that hold memory
	// changed is closed and replaced whenever memory is freed.
	changed chan struct{}
}

func newBodies(free int) *bodies {
	return &bodies{free: free, places: map[*place]struct{}{}, changed: make(chan struct{})}
}

// A place is the share of one body, guarded by the mutex of bodies.
type place struct {
	all   *bodies
	began time.Time
	// cut ends the reading of the body. It must not block.
	cut   func()
	held  int
	whole bool // the body was read to its end
	taken bool // its reading was ended to free memory
}

func (b *bodies) enter(cut func()) *place { return &place{all: b, began: time.Now(), cut: cut} }

// grow raises a body's memory to size bytes, or fails after bodyWait. While it waits,
// the slowest body loses its memory.
func (p *place) grow(ctx context.Context, size int) error {
	timeout := time.NewTimer(bodyWait)
	defer timeout.Stop()
	for {
		changed, again, ok := p.try(size - smallBody)
		if ok {
			return nil
		}
		recheck := time.NewTimer(again)
		select {
		case <-changed:
		case <-recheck.C:
		case <-timeout.C:
			recheck.Stop()
			return unavailable(errManyBodies)
		case <-ctx.Done():
			recheck.Stop()
			return unavailable(context.Cause(ctx))
		}
		recheck.Stop()
	}
}

// try takes the memory if it is free. Otherwise it ends the oldest body if that is slow,
// and returns what to wait for and when to try again.
func (p *place) try(held int) (changed <-chan struct{}, again time.Duration, ok bool) {
	b := p.all
	b.mu.Lock()
	defer b.mu.Unlock()
	if more := held - p.held; more <= b.free {
		if p.held == 0 {
			p.began = time.Now() // waiting does not count as slow sending
		}
		b.free -= more
		p.held = held
		b.places[p] = struct{}{}
		return nil, 0, true
	}
	var oldest *place
	for o := range b.places {
		if o != p && !o.whole && !o.taken && (oldest == nil || o.began.Before(oldest.began)) {
			oldest = o
		}
	}
	again = slowBody
	if oldest != nil {
		if again = slowBody - time.Since(oldest.began); again <= 0 {
			oldest.taken = true
			oldest.cut()
			again = slowBody
		}
	}
	return b.changed, again, false
}

// received marks the body as read to its end: it keeps its memory until leave.
func (p *place) received() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.whole = true
}

// lost reports whether the body lost its memory to another one.
func (p *place) lost() bool {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	return p.taken
}

// leave frees the memory.
func (p *place) leave() {
	b := p.all
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.held == 0 {
		return
	}
	delete(b.places, p)
	b.free += p.held
	p.held = 0
	close(b.changed)
	b.changed = make(chan struct{})
}
