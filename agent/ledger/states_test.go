package ledger

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"github.com/sledagent/sledagent/agent/vmm"
)

// TestStatesDoNotReadRegistrations: here no registration can be read. Deadlines are
// loaded all the same, and each registration is an error when it is requested.
func TestStatesDoNotReadRegistrations(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	want := map[int]Entry{}
	for n := range 5 {
		e := stopping(time.Now().Add(time.Minute))
		e.Registration = registration(n, 1<<20)
		want[n] = e
		saved(t, l, vmmID(n), e)
	}
	closed(t, l)
	files := imageOf(t, path)
	for name := range files {
		if filepath.Dir(name) == registrationsName {
			files[name] = make([]byte, len(files[name]))
		}
	}
	path = files.put(t, t.TempDir())
	l = opened(t, path, Options{})
	all, err := l.States(limits)
	if err != nil || len(all) != len(want) {
		t.Fatalf("%d VMMs, %v", len(all), err)
	}
	for n, got := range all {
		e := want[n]
		if got.Identity != identityOf(e.Registration) || got.Registration != nil || got.State.Armed.For != vmm.ForStop {
			t.Errorf("%+v", got)
		}
		if r, err := l.Registration(got.ID); r != nil || !errors.Is(err, ErrDamaged) {
			t.Errorf("%v, %v", r, err)
		}
	}
	if _, err := load(l, limits); !errors.Is(err, ErrDamaged) {
		t.Errorf("loaded: %v", err)
	}
	// Such a VMM can be saved and dropped like any other.
	saved(t, l, all[0].ID, all[0].Entry)
	l.Drop(all[1].ID, nil)
	saved(t, l, all[2].ID, all[2].Entry)
	if all, err := l.States(limits); err != nil || len(all) != 4 {
		t.Errorf("%d VMMs, %v", len(all), err)
	}
}

// TestRegistrationOnDemand: a registration can be read as long as its VMM exists,
// whether the VMM is saved with it or without.
func TestRegistrationOnDemand(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	first := numbered(1, 1, 3000)
	saved(t, l, vmmID(1), first)
	without := numbered(2, 2, 10)
	without.Registration, without.Identity = nil, identityOf(first.Registration)
	saved(t, l, vmmID(1), without)
	closed(t, l)
	l = opened(t, path, Options{})
	if all, err := l.States(limits); err != nil || len(all) != 1 || all[0].State.Record.VMM.Gen != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	saved(t, l, vmmID(1), without)
	got := loaded(t, l)[vmmID(1)].Entry
	without.Registration = first.Registration
	if diff := differences(without, got); diff != "" {
		t.Error(diff)
	}
	if r, err := l.Registration(vmmID(2)); r != nil || !errors.Is(err, errNoRegistration) || errors.Is(err, ErrDamaged) {
		t.Errorf("unknown VMM: %v, %v", r, err)
	}
	l.Drop(vmmID(1), nil)
	without.Registration = nil
	if err := waitFor(l.Save(vmmID(1), without)); err == nil {
		t.Error("a reused id was saved without a registration")
	}
	saved(t, l, vmmID(2), numbered(2, 1, 10)) // the drop is on disk with it, or before
	if r, err := l.Registration(vmmID(1)); r != nil || err == nil {
		t.Errorf("dropped VMM: %s", r.Hostname)
	}
	again := numbered(7, 1, 10)
	saved(t, l, vmmID(1), again)
	if r, err := l.Registration(vmmID(1)); err != nil || r.Hostname != "7" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRepairOfOlderSchemas loses nothing.
func TestRepairOfOlderSchemas(t *testing.T) {
	t.Parallel()
	for v := 1; v <= lastBolt; v++ {
		files, want := kept(t, v)
		path := files.put(t, t.TempDir())
		if r, err := Repair(path); err != nil || r.Kept != len(keptEntries()) || r.Lost != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if diff := cmp.Diff(want, dumpOf(t, path)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestHalvesAreDamage: a VMM that has only a state or only a registration in an older
// file is reported as lost, and no other VMM is lost with it.
func TestHalvesAreDamage(t *testing.T) {
	t.Parallel()
	id := []byte(vmmID(1).String())
	for name, lose := range map[string]func(tx *bolt.Tx) error{
		"no state":        func(tx *bolt.Tx) error { return tx.Bucket([]byte("states")).Delete(id) },
		"no bucket":       func(tx *bolt.Tx) error { return tx.Bucket([]byte("vmms")).DeleteBucket(id) },
		"no registration": func(tx *bolt.Tx) error { return tx.Bucket([]byte("vmms")).Bucket(id).Delete([]byte("registration")) },
	} {
		files, _ := kept(t, 2)
		path := files.put(t, t.TempDir())
		changeBolt(t, path, lose)
		if _, err := Check(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: checked: %v", name, err)
		}
		l := opened(t, path, Options{})
		if n := len(loaded(t, l)); n != len(keptEntries())-1 || l.Lost() == "" || !l.Fresh() {
			t.Errorf("%s: %d VMMs, fresh: %t, lost: %q", name, n, l.Fresh(), l.Lost())
		}
		if names, _ := filepath.Glob(path + ".damaged-*"); len(names) != 1 {
			t.Errorf("%s: kept: %v", name, names)
		}
	}
}

func changeBolt(t *testing.T, path string, change func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestSizeIsThatOnDisk: a registration's size is known before it is written, and later
// without reading it.
func TestSizeIsThatOnDisk(t *testing.T) {
	t.Parallel()
	l := opened(t, newPath(t), Options{})
	want := map[uuid.UUID]int{}
	for n, spec := range []int{0, 1, 2, 3, 10_000, 1 << 20} {
		e := numbered(n, 1, spec)
		want[vmmID(n)] = Size(e.Registration)
		saved(t, l, vmmID(n), e)
	}
	all, err := l.States(limits)
	if err != nil || len(all) != len(want) {
		t.Fatal(len(all), err)
	}
	for _, e := range all {
		if e.Size != want[e.ID] {
			t.Errorf("%d bytes on disk, %d expected", e.Size, want[e.ID])
		}
	}
}

// What no agent writes is damage, not a VMM: one that is stopping without a stop, for one,
// would have no deadline.
func TestImpossibleStatesAreDamage(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for what, change := range map[string]func(*Entry){
		"nothing":                  func(*Entry) {},
		"stopping without a stop":  func(e *Entry) { e.State.Stop = nil },
		"no address":               func(e *Entry) { e.Identity.PropolisAddr = netip.AddrPort{} },
		"a deadline for something": func(e *Entry) { e.State.Armed.For = "something" },
	} {
		e := stopping(now.Add(time.Hour))
		e.Registration, e.Identity.PropolisAddr = nil, anyAddr
		change(&e)
		text, err := encodeState(e, now, time.Minute, "this")
		if err != nil {
			t.Fatal(what, err)
		}
		if _, _, err := decodeState(text, now, time.Minute, "this", limits); (err == nil) != (what == "nothing") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
