package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

var pageSize = os.Getpagesize()

// A sample is the file of a ledger with pages of every kind, and what it holds.
type sample struct {
	file []byte
	// now and before are the VMMs after the last transaction and the one before.
	now, before map[uuid.UUID]string
}

// newSample makes a ledger that has branches, leaves, pages that overflow,
// buckets in pages of others and free pages.
func newSample(t testing.TB) sample {
	t.Helper()
	path := newPath(t)
	l := opened(t, path, Options{Clock: newClock("this", time.Hour)})
	for n := range 20 {
		saved(t, l, vmmID(n), numbered(n, 1, n%6/5*1500+n%14/13*9<<10))
	}
	for n := 3; n < 20; n += 5 {
		l.Drop(vmmID(n))
	}
	saved(t, l, vmmID(1), numbered(1, 2, 200))
	s := sample{before: prints(loaded(t, l))}
	saved(t, l, vmmID(2), numbered(2, 2, 400))
	s.now = prints(loaded(t, l))
	closed(t, l)
	var err error
	if s.file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return s
}

// prints returns what was loaded, without deadlines: they are reckoned from the
// time of loading.
func prints(all map[uuid.UUID]Loaded) map[uuid.UUID]string {
	lines := make(map[uuid.UUID]string, len(all))
	for id, e := range all {
		e.State.Armed.At = time.Time{}
		line, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		lines[id] = string(line)
	}
	return lines
}

func write(t rapid.TB, path string, file []byte) fs.FileInfo {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// untouched holds that a file is as it was.
func untouched(t rapid.TB, path string, file []byte, info fs.FileInfo) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, file) {
		t.Errorf("the file was changed; error: %v", err)
	}
	if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(info.ModTime()) {
		t.Errorf("the file was written to; error: %v", err)
	}
}

// refusesOrHolds opens a file that was damaged. Either that is refused, or
// nothing is lost; in any case the file is as it was.
func (s sample) refusesOrHolds(t rapid.TB, path string, file []byte) (refused bool) {
	t.Helper()
	info := write(t, path, file)
	all, err := openAndLoad(path)
	untouched(t, path, file, info)
	if err != nil && !errors.Is(err, ErrDamaged) {
		t.Errorf("refused with %v", err)
	}
	now := maps.Equal(s.now, all)
	if err == nil && !now && !maps.Equal(s.before, all) {
		t.Errorf("opened without what it held")
	}
	if err == nil && !now && bytes.Equal(file[:2*pageSize], s.file[:2*pageSize]) {
		t.Errorf("opened with what it held before the last transaction")
	}
	return err != nil
}

func openAndLoad(path string) (map[uuid.UUID]string, error) {
	l, err := Open(path, Options{Clock: newClock("this", time.Hour)})
	if err != nil {
		return nil, err
	}
	defer l.cancel()
	all, err := l.Load(limits)
	byID := map[uuid.UUID]Loaded{}
	for _, e := range all {
		byID[e.ID] = e
	}
	l.cancel()
	<-l.done
	return prints(byID), errors.Join(err, l.db.Close())
}

// TestEveryPageDamaged damages each page in turn: all of it, bits of its
// header, and bits here and there. A page that is in use must be missed; of the
// two meta pages one is enough, with what it knows.
func TestEveryPageDamaged(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	path, refused := newPath(t), 0
	pages := len(s.file) / pageSize
	for page := range pages {
		for _, kind := range damages(page) {
			file := bytes.Clone(s.file)
			kind.do(file[page*pageSize : (page+1)*pageSize])
			if bytes.Equal(file, s.file) {
				continue
			}
			if s.refusesOrHolds(t, path, file) {
				refused++
				_, checked := Check(path)
				if dumped := Dump(path, io.Discard); !errors.Is(checked, ErrDamaged) || !errors.Is(dumped, ErrDamaged) {
					t.Errorf("refused, checked with %v, dumped with %v", checked, dumped)
				}
			}
			if t.Failed() {
				t.Fatalf("page %d of %d, %s", page, pages, kind.name)
			}
		}
	}
	if refused < pages {
		t.Errorf("only %d damaged files of %d pages were refused", refused, pages)
	}
}

type damage struct {
	name string
	do   func(page []byte)
}

func damages(seed int) []damage {
	all := []damage{
		{"inverted", func(p []byte) {
			for i := range p {
				p[i] ^= 0xff
			}
		}},
		{"zeroed", func(p []byte) { clear(p) }},
		{"half zeroed", func(p []byte) { clear(p[len(p)/2:]) }},
	}
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	flip := func(at int) {
		bit := byte(1) << r.IntN(8)
		all = append(all, damage{fmt.Sprintf("byte %d ^ %#x", at, bit), func(p []byte) { p[at] ^= bit }})
	}
	for range 3 { // its header and first elements
		flip(r.IntN(pageHeader + 2*elementLen))
	}
	flip(r.IntN(pageSize))
	return all
}

// TestAnyDamage flips any bytes of the file, and cuts it anywhere.
func TestAnyDamage(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	path := newPath(t)
	rapid.Check(t, func(t *rapid.T) {
		file := bytes.Clone(s.file)
		for range rapid.IntRange(1, 8).Draw(t, "flips") {
			file[rapid.IntRange(0, len(file)-1).Draw(t, "at")] ^= rapid.ByteMin(1).Draw(t, "by")
		}
		if rapid.Bool().Draw(t, "cut") {
			file = file[:rapid.IntRange(0, len(file)).Draw(t, "length")]
		}
		s.refusesOrHolds(t, path, file)
	})
}

func TestEveryLength(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	path := newPath(t)
	for page := 0; page*pageSize <= len(s.file); page++ {
		for _, more := range []int{-1, 0, 80} {
			if n := page*pageSize + more; n >= 0 && n < len(s.file) {
				s.refusesOrHolds(t, path, s.file[:n])
				if t.Failed() {
					t.Fatalf("%d bytes of %d", n, len(s.file))
				}
			}
		}
	}
}

// TestNoLedgerAtAll: what is no ledger, or cannot be read, is not taken for a
// damaged one, and not replaced.
func TestNoLedgerAtAll(t *testing.T) {
	t.Parallel()
	garbage := make([]byte, 20*pageSize)
	for i := range garbage {
		garbage[i] = byte(rand.IntN(256))
	}
	for name, file := range map[string][]byte{"empty": {}, "one byte": {0}, "zeroes": make([]byte, 64<<10), "garbage": garbage,
		"text": []byte("state_dir = \"/var/lib/sled-agent\"\n")} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			info := write(t, path, file)
			if _, err := Open(path, Options{}); !errors.Is(err, ErrDamaged) {
				t.Errorf("opened: %v", err)
			}
			untouched(t, path, file, info)
		})
	}
	t.Run("directory", func(t *testing.T) {
		path := newPath(t)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		refuses(t, path, nil)
	})
	t.Run("dangling link", func(t *testing.T) {
		path := newPath(t)
		if err := os.Symlink(filepath.Join(t.TempDir(), "none", "x"), path); err != nil {
			t.Fatal(err)
		}
		if _, err := Repair(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("repaired: %v", err)
		}
	})
	t.Run("no permission", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may read everything")
		}
		path := newPath(t)
		closed(t, opened(t, path, Options{}))
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		refuses(t, path, fs.ErrPermission)
	})
	t.Run("open elsewhere", func(t *testing.T) {
		path := newPath(t)
		opened(t, path, Options{})
		refuses(t, path, nil)
	})
}

// refuses holds that a ledger is refused by every function, with an error that
// does not blame what it holds, and that nothing is put in its place.
func refuses(t *testing.T, path string, want error) {
	t.Helper()
	_, opened := Open(path, Options{})
	_, checked := Check(path)
	_, repaired := Repair(path)
	for what, err := range map[string]error{"open": opened, "check": checked, "repair": repaired, "dump": Dump(path, io.Discard)} {
		if err == nil || errors.Is(err, ErrDamaged) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("there are %v", names)
	}
}
