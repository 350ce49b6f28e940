package ledger

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"errors"
	bolt "go.etcd.io/bbolt"
	"io"
)

// repaired repairs a damaged file and holds that the old one was kept, that the
// new one is whole, and that what it holds was in the good one.
func (s sample) repaired(t *testing.T, file []byte) Repaired {
	t.Helper()
	path := newPath(t)
	write(t, path, file)
	r, err := Repair(path)
	if err != nil {
		t.Fatal(err)
	}
	if old, err := os.ReadFile(r.Old); err != nil || !bytes.Equal(old, file) {
		t.Errorf("the old file was not kept: %v", err)
	}
	all, err := openAndLoad(path)
	if err != nil {
		t.Fatal(err)
	}
	for id, e := range all {
		if s.now[id] != e && s.before[id] != e {
			t.Errorf("VMM %s was made up: %s", id, e)
		}
	}
	if n, err := Check(path); err != nil || n != r.Kept || n != len(all) {
		t.Errorf("kept %d, loaded %d, checked %d: %v", r.Kept, len(all), n, err)
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 2 {
		t.Errorf("there are %v", names)
	}
	return r
}

// TestRepairEveryPage destroys each page in turn. What a repair may lose is what
// that page held.
func TestRepairEveryPage(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	lost := map[int]int{}
	for page := range len(s.file) / pageSize {
		file := bytes.Clone(s.file)
		clear(file[page*pageSize : (page+1)*pageSize])
		r := s.repaired(t, file)
		lost[len(s.now)-r.Kept]++
		if t.Failed() {
			t.Fatalf("page %d: %+v", page, r)
		}
	}
	if lost[len(s.now)] > 3 {
		t.Errorf("all VMMs are lost with too many pages: %v", lost)
	}
	t.Logf("VMMs lost, for how many pages: %v", lost)
}

func TestRepairKeepsTheRest(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	file := bytes.Clone(s.file)
	// Every copy, since some are in pages that are free by now.
	file = bytes.ReplaceAll(file, []byte(`"Hostname":"11"`), []byte(`"Hostname":"71"`))
	if bytes.Equal(file, s.file) {
		t.Fatal("the sample has changed")
	}
	if r := s.repaired(t, file); r.Lost != 1 || r.Kept != len(s.now)-1 {
		t.Errorf("%+v of %d", r, len(s.now))
	}
	if r := s.repaired(t, s.file); r.Lost != 0 || r.Kept != len(s.now) {
		t.Errorf("of a file that is whole: %+v", r)
	}
	if r := s.repaired(t, make([]byte, 100)); r.Kept != 0 {
		t.Errorf("of nothing: %+v", r)
	}
}

// TestNewerIsRefused: an older agent neither reads nor repairs what a newer one
// has written.
func TestNewerIsRefused(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	closed(t, opened(t, path, Options{}))
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *bolt.Tx) error { return putVersion(tx.Bucket(metaBucket), schema+1) }), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info := write(t, path, file)
	_, opened := Open(path, Options{})
	_, checked := Check(path)
	_, repaired := Repair(path)
	for what, err := range map[string]error{"open": opened, "check": checked, "repair": repaired, "dump": Dump(path, io.Discard)} {
		if !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	untouched(t, path, file, info)
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("there are %v", names)
	}
}

// TestDumpTellsOfEveryVMM: one that cannot be decoded is a line like the others,
// with what is wrong with it.
func TestDumpTellsOfEveryVMM(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	saved(t, l, vmmID(1), numbered(1, 1, 10))
	bad := numbered(2, 1, 10)
	bad.State.Record.VMM.State = "asleep"
	saved(t, l, vmmID(2), bad)
	if _, err := l.Load(limits); !errors.Is(err, ErrDamaged) {
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
	if len(lines) != 2 || lines[0].Error != "" || lines[1].Error == "" || len(lines[1].State) == 0 || lines[0].ID != vmmID(1).String() {
		t.Errorf("%+v", lines)
	}
	if _, err := Check(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("checked: %v", err)
	}
	if r, err := Repair(path); err != nil || r.Kept != 1 || r.Lost != 1 {
		t.Errorf("repaired: %+v, %v", r, err)
	}
}
