package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// block is the unit of damage.
const block = 512

// A sample is a ledger's files and its VMMs.
type sample struct {
	files image
	now   map[uuid.UUID]string
}

// newSample returns a closed ledger in which VMMs were added, changed and dropped.
func newSample(t testing.TB) sample {
	t.Helper()
	path := filepath.Join(memory(t), FileName)
	l := opened(t, path, Options{Clock: newClock("this", time.Hour)})
	for n := range 20 {
		saved(t, l, vmmID(n), numbered(n, 1, n%6/5*1500+n%14/13*9<<10))
	}
	for n := 3; n < 20; n += 5 {
		l.Drop(vmmID(n), nil)
	}
	saved(t, l, vmmID(1), numbered(1, 2, 200))
	saved(t, l, vmmID(2), numbered(2, 2, 400))
	s := sample{now: prints(loaded(t, l))}
	closed(t, l)
	s.files = imageOf(t, path)
	return s
}

// prints returns what was loaded, without deadlines, which depend on the time of
// loading.
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

// untouched fails if a file has changed.
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

// openDamaged opens a damaged ledger. It starts with what can be read, reports the loss, keeps
// the damaged file, and does the same after a restart; or there is no damage. A file
// that is not a ledger is refused and not changed.
func (s sample) openDamaged(t rapid.TB, dir string, file []byte) (refused, lost bool) {
	t.Helper()
	path := s.files.with(FileName, file).put(t, dir)
	_, checked := Check(path)
	var lines bytes.Buffer
	dumped := Dump(path, &lines)
	var log bytes.Buffer
	all, said, err := openAndLoad(path, &log)
	if err != nil {
		if got, failed := os.ReadFile(path); failed != nil || !bytes.Equal(got, file) {
			t.Errorf("refused but changed: %v", failed)
		}
		if !errors.Is(err, ErrDamaged) || !errors.Is(checked, ErrDamaged) || !errors.Is(dumped, ErrDamaged) {
			t.Errorf("refused with %v; checked: %v, dumped: %v", err, checked, dumped)
		}
		return true, false
	}
	if said == "" {
		if !maps.Equal(s.now, all) || checked != nil {
			t.Errorf("opened with %d VMMs of %d without a report; checked: %v", len(all), len(s.now), checked)
		}
		return false, false
	}
	for id, e := range all {
		if s.now[id] != e {
			t.Errorf("VMM %s was never saved: %s", id, e)
		}
	}
	if !errors.Is(checked, ErrDamaged) || dumped != nil || !bytes.Contains(lines.Bytes(), []byte(`"error"`)) {
		t.Errorf("checked: %v, dumped: %v", checked, dumped)
	}
	names, _ := filepath.Glob(path + ".damaged-*")
	if len(names) != 1 || !strings.Contains(said, names[0]) || !bytes.Contains(log.Bytes(), []byte(names[0])) {
		t.Fatalf("kept: %v, lost: %q, log: %s", names, said, &log)
	}
	if old, err := os.ReadFile(names[0]); err != nil || !bytes.Equal(old, file) {
		t.Errorf("the damaged file was not kept: %v", err)
	}
	again, saidAgain, err := openAndLoad(path, io.Discard)
	if err != nil || !maps.Equal(all, again) || saidAgain != said {
		t.Errorf("after a restart: %d VMMs of %d, lost: %q, was %q, %v", len(again), len(all), saidAgain, said, err)
	}
	return false, true
}

// openAndLoad returns the VMMs of a ledger and its Lost.
func openAndLoad(path string, log io.Writer) (map[uuid.UUID]string, string, error) {
	l, err := Open(path, Options{Clock: newClock("this", time.Hour), Log: zerolog.New(log)})
	if err != nil {
		return nil, "", err
	}
	all, err := load(l, limits)
	byID := map[uuid.UUID]Loaded{}
	for _, e := range all {
		byID[e.ID] = e
	}
	if l.Lost() != "" && !l.Fresh() {
		err = errors.Join(err, errors.New("something is lost, and the ledger is not fresh"))
	}
	return prints(byID), l.Lost(), errors.Join(err, l.Close(context.Background()))
}

// TestEveryBlockDamaged damages each block in turn: all of it, half of it, and single
// bits. Only VMMs within it are lost.
func TestEveryBlockDamaged(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	good := s.files[FileName]
	dir, lost := memory(t), 0
	used := len(bytes.TrimRight(good, "\x00"))
	for at := 0; at < used; at += block {
		for _, kind := range damages(at) {
			file := bytes.Clone(good)
			kind.do(file[at : at+block])
			refused, reported := s.openDamaged(t, dir, file)
			if reported {
				lost++
			}
			if refused || t.Failed() {
				t.Fatalf("block at %d of %d, %s: refused: %t", at, used, kind.name, refused)
			}
			if all, _, err := openAndLoad(filepath.Join(dir, FileName), io.Discard); err != nil || len(all) < len(s.now)-3 {
				t.Fatalf("block at %d of %d, %s: %d VMMs of %d, %v", at, used, kind.name, len(all), len(s.now), err)
			}
		}
	}
	if lost < used/block {
		t.Errorf("only %d damaged files of %d blocks were noticed", lost, used/block)
	}
}

type damage struct {
	name string
	do   func(block []byte)
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
		{"line breaks", func(p []byte) { copy(p, bytes.Repeat([]byte("\n"), len(p))) }},
	}
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	for range 4 {
		at, bit := r.IntN(block), byte(1)<<r.IntN(8)
		all = append(all, damage{fmt.Sprintf("byte %d ^ %#x", at, bit), func(p []byte) { p[at] ^= bit }})
	}
	return all
}

// TestAnyDamage flips bytes of the file at random, or truncates it.
func TestAnyDamage(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	dir := memory(t)
	used := len(bytes.TrimRight(s.files[FileName], "\x00"))
	rapid.Check(t, func(t *rapid.T) {
		file := bytes.Clone(s.files[FileName])
		for range rapid.IntRange(1, 8).Draw(t, "flips") {
			file[rapid.IntRange(0, used-1).Draw(t, "at")] ^= rapid.ByteMin(1).Draw(t, "by")
		}
		if rapid.Bool().Draw(t, "cut") {
			file = file[:rapid.IntRange(0, len(file)).Draw(t, "length")]
		}
		s.openDamaged(t, dir, file)
	})
}

// TestEveryLength truncates the file at every length and expects a report.
func TestEveryLength(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	dir := memory(t)
	good := s.files[FileName]
	used := len(bytes.TrimRight(good, "\x00"))
	for _, n := range append(lineEnds(good), used-1, used, used+1, len(good)-1) {
		for _, n := range []int{n - 1, n, n + 1} {
			refused, lost := s.openDamaged(t, dir, good[:n])
			if n < used && !refused && !lost || t.Failed() {
				t.Fatalf("%d bytes of %d: lost: %t", n, used, lost)
			}
		}
	}
}

func lineEnds(file []byte) (all []int) {
	for at, b := range file {
		if b == '\n' {
			all = append(all, at+1)
		}
	}
	return all
}

// TestDamageAfterACrash: a damaged line that was appended may be about any VMM. A VMM
// whose VM was not running is left out, since another one would be started. A VMM that
// the line names is left out, unless a later line has its state.
func TestDamageAfterACrash(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	booting := numbered(0, 1, 10)
	booting.State.Phase = vmm.Booting
	saved(t, l, vmmID(0), booting)
	saved(t, l, vmmID(1), numbered(1, 1, 10))
	closed(t, l)
	l = opened(t, path, Options{})
	saved(t, l, vmmID(5), numbered(5, 1, 10)) // rewrites the file
	saved(t, l, vmmID(2), numbered(2, 22, 10))
	saved(t, l, vmmID(1), numbered(1, 11, 10))
	saved(t, l, vmmID(2), numbered(2, 23, 10))
	saved(t, l, vmmID(6), booting)
	files := imageOf(t, path)
	closed(t, l)
	for damaged, want := range map[string]map[uuid.UUID]uint64{
		`state ` + vmmID(1).String(): {vmmID(2): 23, vmmID(5): 1, vmmID(6): 1, vmmID(1): 1}, // the line's id cannot be read
		`"gen":11,`:                  {vmmID(0): 1, vmmID(2): 23, vmmID(5): 1, vmmID(6): 1},
		`"gen":22,`:                  {vmmID(1): 11, vmmID(2): 23, vmmID(5): 1, vmmID(6): 1},
	} {
		file := bytes.Clone(files[FileName])
		at := bytes.LastIndex(file, []byte(damaged))
		file[at+len(damaged)-1] ^= 1
		l := opened(t, files.with(FileName, file).put(t, t.TempDir()), Options{})
		got := map[uuid.UUID]uint64{}
		for id, e := range loaded(t, l) {
			got[id] = e.State.Record.VMM.Gen
		}
		if !maps.Equal(got, want) || l.Lost() == "" {
			t.Errorf("%s: %v, want %v; lost: %q", damaged, got, want, l.Lost())
		}
	}
}

// TestLostIsCleared by an operator only.
func TestLostIsCleared(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for name, giveUp := range map[string]func(path string) error{
		"settle": Settle,
		"repair": func(path string) error {
			r, err := Repair(path)
			if r.Kept != len(s.now)-1 {
				t.Errorf("%+v", r)
			}
			return err
		},
	} {
		file := bytes.Replace(s.files[FileName], []byte(`"hostname":"11"`), []byte(`"hostname":"71"`), 1)
		path := s.files.with(FileName, file).put(t, t.TempDir())
		l := opened(t, path, Options{})
		if n := len(loaded(t, l)); n != len(s.now)-1 || l.Lost() == "" {
			t.Fatalf("%d VMMs, lost: %q", n, l.Lost())
		}
		l.Settle()
		saved(t, l, vmmID(1), numbered(1, 9, 10))
		closed(t, l)
		if l = opened(t, path, Options{}); l.Lost() == "" || l.Fresh() {
			t.Errorf("%s: lost: %q, fresh: %t", name, l.Lost(), l.Fresh())
		}
		closed(t, l)
		if err := giveUp(path); err != nil {
			t.Fatal(err)
		}
		if n, err := Check(path); err != nil || n != len(s.now)-1 {
			t.Errorf("%s: %d VMMs, %v", name, n, err)
		}
		if l = opened(t, path, Options{}); l.Lost() != "" || l.Fresh() != (name == "repair") {
			t.Errorf("%s: lost: %q, fresh: %t", name, l.Lost(), l.Fresh())
		}
	}
}

// TestDamageWithFailingRewrite: the damage is reported, and the damaged file stays until
// it can be kept.
func TestDamageWithFailingRewrite(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	file := bytes.Replace(s.files[FileName], []byte(`"hostname":"11"`), []byte(`"hostname":"71"`), 1)
	path := s.files.with(FileName, file).put(t, t.TempDir())
	if err := os.MkdirAll(filepath.Join(path+".new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := opened(t, path, Options{})
	if n := len(loaded(t, l)); n != len(s.now)-1 || l.Lost() == "" {
		t.Errorf("%d VMMs, lost: %q", n, l.Lost())
	}
	if err := waitFor(l.Save(vmmID(1), numbered(1, 9, 10))); err == nil {
		t.Error("saved")
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, file) {
		t.Errorf("the damaged file was changed: %v", err)
	}
	if err := os.RemoveAll(path + ".new"); err != nil {
		t.Fatal(err)
	}
	saved(t, l, vmmID(1), numbered(1, 10, 10))
	if names, _ := filepath.Glob(path + ".damaged-*"); len(names) != 1 || !strings.Contains(l.Lost(), names[0]) {
		t.Errorf("kept: %v, lost: %q", names, l.Lost())
	}
}

// TestLogStaysShort: outdated lines are removed.
func TestLogStaysShort(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	e := numbered(1, 1, 10)
	e.State.Reason = strings.Repeat("x", minRewrite/10)
	for gen := range uint64(25) {
		e.State.Record.VMM.Gen = gen + 1
		saved(t, l, vmmID(1), e)
		if info, err := os.Stat(path); err != nil || info.Size() > 2*minRewrite {
			t.Fatalf("%d bytes, %v", info.Size(), err)
		}
	}
	if gen := loaded(t, l)[vmmID(1)].State.Record.VMM.Gen; gen != 25 {
		t.Errorf("generation %d", gen)
	}
}

// TestSweepOfRegistrations: files without a known VMM's registration are removed, but
// not while they may belong to lost VMMs.
func TestSweepOfRegistrations(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	for n := range 10 {
		saved(t, l, vmmID(n), numbered(n, 1, 10))
	}
	for n := 1; n < 10; n++ {
		l.Drop(vmmID(n), nil)
	}
	saved(t, l, vmmID(10), numbered(10, 1, 10))
	closed(t, l)
	if n := len(imageOf(t, path)); n != 3 {
		t.Errorf("%d files", n)
	}
}

// TestNotALedger: a file that is not a ledger, or cannot be read, is neither repaired
// nor replaced.
func TestNotALedger(t *testing.T) {
	t.Parallel()
	garbage := make([]byte, 80<<10)
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
	t.Run("pipe", func(t *testing.T) {
		path := newPath(t)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, path, nil)
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
}

// refuses verifies that every function refuses a ledger, with the wanted error and not
// with ErrDamaged, and creates no file.
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
		t.Errorf("files: %v", names)
	}
}
