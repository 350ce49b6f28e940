package propolis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sledagent/sledagent/internal/plain"
)

const (
	// maxHeard is how many answers a Client remembers, maxHeardBody what it remembers of a
	// body, in bytes.
	maxHeard     = 8
	maxHeardBody = 1 << 10
)

// Heard is what a server answered to a call, for people.
type Heard struct {
	// At is when it was answered first, Last when it was last, and Times how often: the same
	// answer to the same kind of call is remembered once.
	At, Last time.Time
	Times    int
	// Op is the call, Status the answer's status, 0 without an answer. Text is the body, or
	// why there is none, in plain text.
	Op     string
	Status int
	Text   string
}

// heard is the newest answers of a server, the oldest first.
type heard struct {
	mu  sync.Mutex
	all []Heard
}

// note remembers the outcome of a call. One that the caller has ended says nothing of the
// server.
func (h *heard) note(op string, a answer, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	now := Heard{At: time.Now(), Last: time.Now(), Times: 1, Op: op, Status: a.status, Text: plain.Line(string(a.body), maxHeardBody)}
	if err != nil {
		now.Text = plain.Line(err.Error(), maxHeardBody)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range slices.Backward(h.all) {
		was := &h.all[i]
		if was.Op != op {
			continue
		}
		if was.Status == now.Status && was.Text == now.Text {
			was.Last, was.Times = now.At, was.Times+1
			return
		}
		break
	}
	if len(h.all) == maxHeard {
		h.all = slices.Delete(h.all, 0, 1)
	}
	h.all = append(h.all, now)
}

// Heard returns the newest answers of the server, the oldest first, also those that were
// errors. It does not call the server.
func (c *Client) Heard() []Heard {
	c.heard.mu.Lock()
	defer c.heard.mu.Unlock()
	return slices.Clone(c.heard.all)
}

// Transcript formats answers for people.
func Transcript(all []Heard) []byte {
	var out strings.Builder
	for _, h := range all {
		fmt.Fprintf(&out, "%s %s", h.At.UTC().Format(time.RFC3339Nano), h.Op)
		if h.Status != 0 {
			fmt.Fprintf(&out, " %d", h.Status)
		}
		if h.Times > 1 {
			fmt.Fprintf(&out, " (%d times, until %s)", h.Times, h.Last.UTC().Format(time.RFC3339Nano))
		}
		out.WriteByte('\n')
		if h.Text != "" {
			fmt.Fprintf(&out, "    %s\n", h.Text)
		}
	}
	return []byte(out.String())
}
