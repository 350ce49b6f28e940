package ledger

import (
	"errors"
	"fmt"
	"github.com/sledagent/sledagent/agent/vmm"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// A store is a ledger's files and their contents.
type store struct {
	// contentsMu guards the contents once the ledger is open; only the writer changes them.
	contentsMu sync.Mutex
	contents
	log, endedLog logFile
	regs          registrations
	// damaged is the number of unreadable lines of ledger.db. The file is kept as
	// keep before it is rewritten.
	damaged int
	keep    string
	// ends are the ended VMMs that were read, endsDamaged the number of unreadable ones.
	ends        []end
	endsDamaged int
	// older is the file's schema if it is older than the current one.
	older int
}

// openStore reads a ledger without changing it.
func openStore(path string) (d *store, err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	dir := filepath.Dir(path)
	d = &store{log: logFile{path: path}, endedLog: logFile{path: filepath.Join(dir, endedName)},
		regs: registrations(filepath.Join(dir, registrationsName))}
	data, holes, err := readRegular(path)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	s := scanLog(data)
	s.cut = s.cut || holes
	switch {
	case len(data) == 0:
		err = fmt.Errorf("%w: it is empty", ErrDamaged)
	case s.schema > schema:
		err = newer(s.schema)
	case s.schema == schema:
		d.contents, d.damaged = readContents(s)
		err = d.readEnds()
	default:
		err = d.readBolt(path)
	}
	if d.damaged > 0 {
		d.keep = damagedName(path)
	}
	if err != nil {
		return d, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func newer(version int) error {
	return fmt.Errorf("%w: its schema is %d, the newest known is %d", ErrNewer, version, schema)
}

// damagedName returns the name under which a damaged file is kept.
func damagedName(path string) string {
	return fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405.000"))
}

// readRegular reads a regular file and fails for any other kind. holes reports whether
// parts of it cannot be read, which are zero.
func readRegular(path string) (data []byte, holes bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // does not block on a pipe
	if err != nil {
		return nil, false, err
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is not a regular file: %s", path, info.Mode())
	}
	return readAround(f, info.Size())
}

// readAround reads what can be read. A disk reports bad data as EIO for the blocks that
// have it, and the entries in the others are whole.
func readAround(r io.ReaderAt, size int64) (data []byte, holes bool, err error) {
	data = make([]byte, size)
	n, err := r.ReadAt(data, 0)
	if n == len(data) {
		return data, false, nil
	}
	const block = 4 << 10
	for at := int64(0); at < size && errors.Is(err, syscall.EIO); at += block {
		part := data[at:min(at+block, size)]
		if n, failed := r.ReadAt(part, at); n < len(part) {
			clear(part)
			if holes = true; !errors.Is(failed, syscall.EIO) {
				err = failed
			}
		}
	}
	if errors.Is(err, syscall.EIO) {
		err = nil
	}
	return data, holes, err
}

// readEnds reads the VMMs that have ended, if the file exists.
func (d *store) readEnds() error {
	data, holes, err := readRegular(d.endedLog.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s := scanLog(data)
	if s.schema > schema {
		return newer(s.schema)
	}
	if err != nil || s.schema == 0 || s.cut || holes {
		d.endsDamaged++
	}
	for _, line := range s.lines {
		if e, err := parseEnd(line.text); !line.ok || err != nil {
			d.endsDamaged++
		} else {
			d.ends = append(d.ends, e)
		}
	}
	return nil
}

// write makes lines durable and applies them.
func (d *store) write(texts []string) error {
	if !d.log.usable() || d.log.long() {
		next := d.contents.clone()
		if err := next.applyAll(texts); err != nil {
			return err
		}
		err := d.rewrite(next)
		if err == nil || !d.log.usable() {
			return err
		}
		d.log.base = d.log.end // there may be no space for two files; the next try is when the log has grown
	}
	if err := d.log.append(newBatch(texts)); err != nil {
		return err
	}
	d.contentsMu.Lock()
	defer d.contentsMu.Unlock()
	return d.contents.applyAll(texts)
}

// upgrade converts a ledger of an older schema, which is one file.
func (d *store) upgrade() error {
	for some := range slices.Chunk(d.ids(), 16) {
		docs := map[uuid.UUID][]byte{}
		for _, id := range some {
			if doc := d.vmms[id].registration; doc != nil {
				docs[id] = doc
			}
		}
		refs, err := d.regs.add(docs)
		if err != nil {
			return err
		}
		d.contentsMu.Lock()
		for id, at := range refs {
			d.vmms[id] = stored{state: d.vmms[id].state, at: at}
		}
		d.contentsMu.Unlock()
	}
	if err := d.endedLog.replace(newBatch(endTexts(d.ends)), ""); err != nil {
		return err
	}
	return d.rewrite(d.contents)
}

// rewrite rewrites ledger.db.
func (d *store) rewrite(c contents) error {
	if err := d.log.replace(newBatch(c.texts()), d.keep); err != nil {
		return err
	}
	d.keep, d.older = "", 0
	d.contentsMu.Lock()
	defer d.contentsMu.Unlock()
	d.contents = c
	return nil
}

// writeEnds adds ended VMMs to ended.db. all returns these and the ones known before;
// it is called if the file must be rewritten.
func (d *store) writeEnds(some []end, all func() []end) error {
	if len(some) == 0 {
		return nil
	}
	if d.endedLog.usable() && !d.endedLog.long() {
		return d.endedLog.append(newBatch(endTexts(some)))
	}
	keep := ""
	if d.endsDamaged > 0 {
		keep = damagedName(d.endedLog.path)
	}
	err := d.endedLog.replace(newBatch(endTexts(all())), keep)
	if err == nil {
		d.endsDamaged = 0
	}
	return err
}

// registration reads a VMM's registration.
func (d *store) registration(v stored) (*vmm.Registration, error) {
	doc, err := d.registrationDoc(v)
	if err != nil {
		return nil, err
	}
	r, err := decodeRegistration(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r, nil
}

func (d *store) registrationDoc(v stored) ([]byte, error) {
	if v.registration != nil {
		return v.registration, nil
	}
	return d.regs.read(v.at)
}

// close rewrites ledger.db if it was appended to. Damage to a file of one batch affects
// only the VMMs of its lines (see forget). A failure is harmless.
func (d *store) close() {
	if d.log.usable() {
		_ = d.rewrite(d.contents)
	}
	d.log.forget()
	d.endedLog.forget()
}
