package logging

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxLines and maxBytes bound the queue.
	maxLines = 10_000
	maxBytes = 8 << 20
	// retryAfter is the time between two attempts to write to a failing output.
	retryAfter = time.Second
)

// Counts are the numbers of lines that did not reach standard error.
type Counts struct {
	// Dropped lines were discarded.
	Dropped uint64
	// Diverted lines are in the fallback file.
	Diverted uint64
}

func (c Counts) zero() bool { return c == Counts{} }

func (c Counts) minus(o Counts) Counts {
	return Counts{Dropped: c.Dropped - o.Dropped, Diverted: c.Diverted - o.Diverted}
}

// A sink writes lines to an output in its own goroutine. put never blocks.
type sink struct {
	out io.Writer
	// fallback receives the lines while out fails; nil if there is none.
	fallback io.Writer
	// report makes the line that reports missing lines.
	report func(Counts) []byte

	lines    chan []byte
	waiting  atomic.Int64 // bytes queued in lines
	dropped  atomic.Uint64
	diverted atomic.Uint64
	closing  chan struct{}
	once     sync.Once
	done     chan struct{}

	// The fields below belong to the writer's goroutine.
	failed   time.Time // when out failed last; zero while it works
	reported Counts
}

func newSink(out, fallback io.Writer, report func(Counts) []byte) *sink {
	s := &sink{out: out, fallback: fallback, report: report,
		lines: make(chan []byte, maxLines), closing: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// put queues a line and takes ownership of it.
func (s *sink) put(line []byte) {
	if s.waiting.Add(int64(len(line))) <= maxBytes {
		select {
		case s.lines <- line:
			return
		default:
		}
	}
	s.waiting.Add(-int64(len(line)))
	s.dropped.Add(1)
}

func (s *sink) counts() Counts {
	return Counts{Dropped: s.dropped.Load(), Diverted: s.diverted.Load()}
}

// close writes the queue and ends the writer, waiting at most d. Lines put afterwards
// are never written.
func (s *sink) close(d time.Duration) {
	s.once.Do(func() { close(s.closing) })
	select {
	case <-s.done:
	case <-time.After(d):
	}
}

func (s *sink) run() {
	defer close(s.done)
	for {
		select {
		case line := <-s.lines:
			s.write(line)
		case <-s.closing:
			for {
				select {
				case line := <-s.lines:
					s.write(line)
				default:
					return
				}
			}
		}
	}
}

// write writes a line to the output, or to the fallback while the output fails.
func (s *sink) write(line []byte) {
	s.waiting.Add(-int64(len(line)))
	if s.failed.IsZero() || time.Since(s.failed) >= retryAfter {
		if _, err := s.out.Write(line); err == nil {
			s.failed = time.Time{}
			s.reportMissing()
			return
		}
		s.failed = time.Now()
	}
	if s.fallback != nil {
		if _, err := s.fallback.Write(line); err == nil {
			s.diverted.Add(1)
			return
		}
	}
	s.dropped.Add(1)
}

// reportMissing writes how many lines are missing since the last such report.
func (s *sink) reportMissing() {
	now := s.counts()
	missing := now.minus(s.reported)
	if missing.zero() {
		return
	}
	if _, err := s.out.Write(s.report(missing)); err != nil {
		s.failed = time.Now()
		return
	}
	s.reported = now
}
