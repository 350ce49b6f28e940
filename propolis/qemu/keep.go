package qemu

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
)

// ConsoleFile is the file in Options.Dir that has the end of the newest VM's console, as the guest
// has written it: at least the last maxHistory bytes and at most twice as many. It outlives QEMU
// and its server.
const ConsoleFile = "console.log"

// keepBudget is how long the end of a VM waits for the disk of its ConsoleFile.
const keepBudget = time.Second

// A keeper copies a console's history to a file. The guest never waits for the disk: what is no
// longer in the history when the disk has time is left out.
type keeper struct {
	console *console
	path    string
	file    *os.File // nil before the first and after a failed write
	size    int      // of the file, in bytes
	// asks are answered, by being closed, once all that was written before is in the file.
	asks  chan chan struct{}
	asked []chan struct{}
	done  chan struct{}
}

// keep copies the console to a file in a directory until its end.
func (c *console) keep(dir string, log zerolog.Logger) *keeper {
	k := &keeper{console: c, path: filepath.Join(dir, ConsoleFile), asks: make(chan chan struct{}), done: make(chan struct{})}
	go k.run(log)
	return k
}

func (k *keeper) run(log zerolog.Logger) {
	defer close(k.done)
	said := false
	for next := uint64(0); ; {
		from := next
		var more <-chan struct{}
		var err error
		if next, more, err = k.copy(from); err != nil && !said {
			said = true
			log.Warn().Err(err).Msg("console is not kept in its file")
		}
		if err == nil && next > from {
			continue
		}
		for _, ask := range k.asked {
			close(ask)
		}
		k.asked = nil
		if !k.wait(more) {
			break
		}
	}
	if k.file != nil {
		_ = k.file.Close() // What was written is in it.
	}
}

// wait waits until the console may have more, and returns false if it will not.
func (k *keeper) wait(more <-chan struct{}) bool {
	if more == nil {
		return false
	}
	select {
	case <-more:
	case ask := <-k.asks:
		k.asked = append(k.asked, ask)
	}
	return true
}

// copy copies what the console has from an offset on. It returns the offset after that, and like
// console.read when there is more.
func (k *keeper) copy(from uint64) (next uint64, more <-chan struct{}, err error) {
	data, next, more := k.console.read(from, maxHistory)
	if k.file == nil || next-uint64(len(data)) != from || k.size+len(data) > 2*maxHistory {
		data, next, more = k.console.read(0, maxHistory)
		return next, more, k.replace(data)
	}
	n, err := k.file.Write(data)
	if k.size += n; err != nil {
		k.file, err = nil, errors.Join(err, k.file.Close())
	}
	return next, more, err
}

// replace puts a new file in the place of the old one, or of whatever else has its name.
func (k *keeper) replace(data []byte) error {
	if k.file != nil {
		_ = k.file.Close() // It is not used any more.
		k.file = nil
	}
	part := k.path + ".new"
	_ = os.Remove(part) // If it cannot be removed, it cannot be made.
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = os.Rename(part, k.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(part))
	}
	k.file, k.size = f, len(data)
	return nil
}

// flush waits until what the console has written is in the file, or the disk has taken too long.
func (k *keeper) flush() {
	if k == nil {
		return
	}
	late := time.After(keepBudget)
	ask := make(chan struct{})
	select {
	case k.asks <- ask:
	case <-k.done:
		return
	case <-late:
		return
	}
	select {
	case <-ask:
	case <-k.done:
	case <-late:
	}
}
