package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
)

// repaired repairs a damaged ledger and verifies that the old file is kept, the new one
// is undamaged, and its entries are from the original.
func (s sample) repaired(t *testing.T, files image) Repaired {
	t.Helper()
	path := files.put(t, memory(t))
	r, err := Repair(path)
	if err != nil {
		t.Fatal(err)
	}
	if old, err := os.ReadFile(r.Old); err != nil || !bytes.Equal(old, files[FileName]) {
		t.Errorf("the old file was not kept: %v", err)
	}
	all, lost, err := openAndLoad(path, io.Discard)
	if err != nil || lost != "" {
		t.Fatal(lost, err)
	}
	for id, e := range all {
		if s.now[id] != e {
			t.Errorf("VMM %s was never saved: %s", id, e)
		}
	}
	if n, err := Check(path); err != nil || n != r.Kept || n != len(all) {
		t.Errorf("kept %d, loaded %d, checked %d: %v", r.Kept, len(all), n, err)
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 2 {
		t.Errorf("files: %v", names)
	}
	return r
}

// TestRepairKeepsTheRest: only damaged entries are lost.
func TestRepairKeepsTheRest(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	good := s.files[FileName]
	for at := 0; at < len(bytes.TrimRight(good, "\x00")); at += block {
		file := bytes.Clone(good)
		clear(file[at : at+block])
		if r := s.repaired(t, s.files.with(FileName, file)); r.Kept < len(s.now)-3 {
			t.Fatalf("block at %d: %+v of %d", at, r, len(s.now))
		}
	}
	file := bytes.Replace(good, []byte(`"hostname":"11"`), []byte(`"hostname":"71"`), 1)
	if r := s.repaired(t, s.files.with(FileName, file)); r.Lost != 1 || r.Kept != len(s.now)-1 {
		t.Errorf("%+v of %d", r, len(s.now))
	}
	for name, data := range s.files {
		if damaged := bytes.Replace(data, []byte(`"Hostname":"11"`), []byte(`"Hostname":"71"`), 1); !bytes.Equal(damaged, data) {
			if r := s.repaired(t, s.files.with(name, damaged)); r.Lost != 1 || r.Kept != len(s.now)-1 {
				t.Errorf("damaged registration: %+v of %d", r, len(s.now))
			}
		}
	}
	if r := s.repaired(t, s.files); r.Lost != 0 || r.Kept != len(s.now) {
		t.Errorf("undamaged file: %+v", r)
	}
	if r := s.repaired(t, image{FileName: make([]byte, 100)}); r.Kept != 0 {
		t.Errorf("empty ledger: %+v", r)
	}
}

// TestNewerIsRefused: an older agent neither reads nor repairs a newer ledger.
func TestNewerIsRefused(t *testing.T) {
	t.Parallel()
	newer := image{FileName: bytes.ReplaceAll(appendLine(header(0), "commit 3 0"), []byte(" 3 "), []byte(" 4 "))}
	newer[FileName] = newer.resealed()
	older, _ := kept(t, 2)
	path := older.put(t, t.TempDir())
	changeBolt(t, path, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), fmt.Appendf(nil, "7\n%08x", checksum([]byte("meta\x00schema\x007"))))
	})
	for version, files := range map[int]image{schema + 1: newer, 7: imageOf(t, path)} {
		path := files.put(t, t.TempDir())
		_, opened := Open(path, Options{})
		_, checked := Check(path)
		_, repaired := Repair(path)
		want := fmt.Sprintf("%s: ledger is from a newer version: its schema is %d, the newest known is %d", path, version, schema)
		for what, err := range map[string]error{"open": opened, "check": checked, "repair": repaired, "dump": Dump(path, io.Discard),
			"settle": Settle(path)} {
			if !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) || err.Error() != want {
				t.Errorf("%s: %v", what, err)
			}
		}
		if diff := cmp.Diff(files, imageOf(t, path)); diff != "" {
			t.Errorf("changed: %s", diff)
		}
	}
}

// resealed returns the ledger's file with the checksums of its lines corrected.
func (i image) resealed() (file []byte) {
	for line := range bytes.Lines(i[FileName]) {
		file = appendLine(file, string(line[9:len(line)-1]))
	}
	return append(file, 0)
}

// TestDumpIncludesDamagedVMMs: a VMM that cannot be decoded has a line with its error.
func TestDumpIncludesDamagedVMMs(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	saved(t, l, vmmID(1), numbered(1, 1, 10))
	bad := numbered(2, 1, 10)
	bad.State.Record.VMM.State = "asleep"
	saved(t, l, vmmID(2), bad)
	if _, err := load(l, limits); !errors.Is(err, ErrDamaged) {
		t.Errorf("loaded: %v", err)
	}
	closed(t, l)
	var out bytes.Buffer
	if err := Dump(path, &out); err != nil {
		t.Fatal(err)
	}
	var lines []dump
	for dec := json.NewDecoder(&out); dec.More(); {
		var d dump
		if err := dec.Decode(&d); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, d)
	}
	if len(lines) != 3 || lines[0].Error != "" || lines[1].Error == "" || len(lines[1].State) == 0 || lines[0].ID != vmmID(1).String() ||
		lines[1].ID != vmmID(2).String() || lines[2].Error == "" {
		t.Errorf("%+v", lines)
	}
	if _, err := Check(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("checked: %v", err)
	}
	if r, err := Repair(path); err != nil || r.Kept != 1 || r.Lost != 1 {
		t.Errorf("repaired: %+v, %v", r, err)
	}
}
