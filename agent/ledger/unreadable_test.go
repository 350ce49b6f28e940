package ledger

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// TestSettleOfAnOlderLedger: settling an older ledger before an agent has opened it
// loses nothing.
func TestSettleOfAnOlderLedger(t *testing.T) {
	t.Parallel()
	for version := 1; version <= lastBolt; version++ {
		files, want := kept(t, version)
		path := files.put(t, t.TempDir())
		if err := Settle(path); err != nil {
			t.Fatal(err)
		}
		if got := dumpOf(t, path); got != want {
			t.Errorf("schema %d: after settle:\n%s\nwant\n%s", version, got, want)
		}
		if l := opened(t, path, Options{}); l.Fresh() {
			t.Errorf("schema %d is still fresh", version)
		}
	}
}

// TestDamagedLineEnd: two lines that damage has joined are the lines of two VMMs.
// Neither is loaded with an older state.
func TestDamagedLineEnd(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{Clock: newClock("this", time.Hour)})
	e := numbered(1, 1, 10)
	e.State.Phase = vmm.Booting
	for n := range 3 {
		saved(t, l, vmmID(n+1), e)
	}
	e.State.Phase = vmm.Ensuring
	var texts []string
	for n := range 2 {
		v, _ := l.stored(vmmID(n + 1))
		doc, err := encodeState(e, time.Now(), l.clock.Now(), l.boot())
		if err != nil {
			t.Fatal(err)
		}
		v.state = string(doc)
		texts = append(texts, stateText(vmmID(n+1), v))
	}
	if err := l.store.write(texts); err != nil {
		t.Fatal(err)
	}
	saved(t, l, vmmID(3), e)
	files := imageOf(t, path)
	file := files[FileName]
	second := bytes.LastIndex(file, []byte(" state "+vmmID(2).String()))
	file[bytes.LastIndexByte(file[:second], '\n')] ^= 1
	again := opened(t, files.with(FileName, file).put(t, t.TempDir()), Options{Clock: newClock("this", time.Hour)})
	for id, v := range loaded(t, again) {
		if v.State.Phase < vmm.Ensuring {
			t.Errorf("VMM %s is loaded in phase %s, after %s was saved", id, v.State.Phase, vmm.Ensuring)
		}
	}
	if again.Lost() == "" {
		t.Error("nothing was reported as lost")
	}
}

// TestJoinedLines: what is kept in a line does not make it look like two.
func TestJoinedLines(t *testing.T) {
	t.Parallel()
	line := "1f2e3d4c state " + vmmID(1).String() + ` 1:0:9:9d8c7b6a {"reason":"the zone's state cannot be determined; drop it"}`
	for text, want := range map[string]bool{
		line:                               true,
		line[:40]:                          true,
		line + "J" + line:                  false,
		line + "Jxxxxxxxx" + line[8:]:      false,
		line + "J0a1b2c3d commit 3 812":    false,
		line[:60] + "\x00\x00" + line[70:]: false,
	} {
		if got := alone(text); got != want {
			t.Errorf("%q is one line: %v", text, got)
		}
	}
}

// TestFailedWritesLeaveNoRegistrations: a registration is written once, however often
// the write of its state fails.
func TestFailedWritesLeaveNoRegistrations(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{Clock: newClock("this", time.Hour)})
	if err := os.MkdirAll(path+".new/x", 0o700); err != nil { // the file cannot be rewritten
		t.Fatal(err)
	}
	for range 10 {
		if err := <-l.Save(vmmID(1), numbered(1, 1, 1000)); err == nil {
			t.Fatal("the state was saved")
		}
	}
	if err := os.RemoveAll(path + ".new"); err != nil {
		t.Fatal(err)
	}
	saved(t, l, vmmID(1), numbered(1, 1, 1000))
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), registrationsName, "*"))
	if err != nil || len(files) != 1 {
		t.Errorf("registrations are in %q, %v", files, err)
	}
	if _, err := l.Registration(vmmID(1)); err != nil {
		t.Error(err)
	}
}

// badBlock reads as zeroes with an error from one byte on, to another.
type badBlock struct {
	data     []byte
	from, to int64
}

func (b badBlock) ReadAt(p []byte, at int64) (int, error) {
	if at < b.to && at+int64(len(p)) > b.from {
		return int(max(b.from-at, 0)), syscall.EIO
	}
	n := copy(p, b.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// TestUnreadableBlock: what is around a block that cannot be read is read.
func TestUnreadableBlock(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 3*4096+100)
	got, holes, err := readAround(badBlock{data, 5000, 5001}, int64(len(data)))
	want := bytes.Clone(data)
	clear(want[4096:8192])
	if err != nil || !holes || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, of which %d are whole, with holes %v, %v", len(got), bytes.Count(got, []byte("x")), holes, err)
	}
	if got, holes, err := readAround(badBlock{data, 1 << 20, 1 << 20}, int64(len(data))); err != nil || holes || !bytes.Equal(got, data) {
		t.Errorf("of a good file: holes %v, %v", holes, err)
	}
}

// TestUndo: an append that failed leaves the file as it was, with a zero at its end.
func TestUndo(t *testing.T) {
	t.Parallel()
	l := logFile{path: newPath(t)}
	if err := l.replace(newBatch([]string{"fresh now"}), ""); err != nil {
		t.Fatal(err)
	}
	defer l.forget()
	before, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.f.WriteAt(bytes.Repeat([]byte("y"), 2*chunk), l.end); err != nil {
		t.Fatal(err)
	}
	if err := l.undo(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(l.path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has %d bytes, had %d, %v", len(after), len(before), err)
	}
}
