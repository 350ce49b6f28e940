package qemu

import (
	"sync"

	"github.com/sledagent/sledagent/internal/plain"
)

// maxWords is how much of QEMU's standard error is kept, in bytes.
const maxWords = 2 << 10

// lastWords keeps the end of what is written to it.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (w *lastWords) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, data...)
	w.text = w.text[max(0, len(w.text)-maxWords):]
	return len(data), nil
}

// String returns it in one line.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return plain.Line(string(w.text), maxWords)
}
