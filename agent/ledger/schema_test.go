package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

var keep = flag.Bool("keep", false, "make testdata/v<N> of the present schema, if it is not there, and its dump")

// kept returns the stored ledger of a schema, and its expected dump.
func kept(t *testing.T, version int) (files image, dumped string) {
	t.Helper()
	base := filepath.Join("testdata", fmt.Sprintf("v%d", version))
	if version <= lastBolt {
		data, err := os.ReadFile(base + ".db")
		if err != nil {
			t.Fatal(err)
		}
		files = image{FileName: data}
	} else {
		files = imageOf(t, filepath.Join(base, FileName))
	}
	text, err := os.ReadFile(base + ".dump")
	if err != nil {
		t.Fatal(err)
	}
	return files, string(text)
}

// TestKeptFiles reads a stored ledger of every schema without changing it, upgrades it
// and compares the contents with the expected ones. A stored file is never regenerated:
// it is what agents of that version have left on disks.
func TestKeptFiles(t *testing.T) {
	t.Parallel()
	if *keep {
		keepSchema(t)
	}
	for v := 1; v <= schema; v++ {
		t.Run(fmt.Sprint("schema ", v), func(t *testing.T) {
			files, want := kept(t, v)
			path := files.put(t, t.TempDir())
			if n, err := Check(path); err != nil || n != len(keptEntries()) {
				t.Errorf("before the upgrade: %d VMMs, %v", n, err)
			}
			if diff := cmp.Diff(want, dumpOf(t, path)); diff != "" {
				t.Errorf("before the upgrade: %s", diff)
			}
			if diff := cmp.Diff(files, imageOf(t, path)); diff != "" {
				t.Errorf("changed by reading: %s", diff)
			}
			l := opened(t, path, Options{Clock: newClock("kept", 2*time.Hour), KeepEnded: keepKept})
			fresh := l.Fresh()
			if v >= 2 {
				endedIs(t, l, lastOf(keptEnd, 3))
			}
			if n := len(loaded(t, l)); n != len(keptEntries()) || l.Lost() != "" {
				t.Errorf("%d VMMs, lost: %q", n, l.Lost())
			}
			saved(t, l, vmmID(1), numbered(1, 500, 10))
			closed(t, l)
			l = opened(t, path, Options{KeepEnded: keepKept})
			if v >= 2 {
				endedIs(t, l, lastOf(keptEnd, 3))
			}
			if all := loaded(t, l); len(all) != len(keptEntries()) || all[vmmID(1)].State.Record.VMM.Gen != 500 || l.Fresh() != fresh {
				t.Errorf("after a restart: %d VMMs, fresh: %t, was: %t", len(all), l.Fresh(), fresh)
			}
		})
	}
}

// TestUpgradeIsRetried: an agent starts with an older ledger even if the disk is full or
// cannot be written.
func TestUpgradeIsRetried(t *testing.T) {
	t.Parallel()
	for v := 1; v <= lastBolt; v++ {
		files, want := kept(t, v)
		path := files.put(t, t.TempDir())
		obstacle := filepath.Join(filepath.Dir(path), registrationsName)
		if v == 1 {
			obstacle = path + ".new"
		} else if err := os.Remove(obstacle); err != nil {
			t.Fatal(err)
		}
		if v == 2 { // no directory
			if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o700); err != nil { // not empty, so it cannot be replaced
			t.Fatal(err)
		}
		l := opened(t, path, Options{})
		was := loaded(t, l)
		if err := waitFor(l.Save(vmmID(1), was[vmmID(1)].Entry)); err == nil || len(was) != len(keptEntries()) {
			t.Errorf("%d VMMs, saved: %v", len(was), err)
		}
		if diff := cmp.Diff(want, dumpOf(t, path)); diff != "" {
			t.Error(diff)
		}
		if err := os.RemoveAll(obstacle); err != nil {
			t.Fatal(err)
		}
		e := was[vmmID(1)].Entry
		e.State.Record.VMM.Gen, e.Registration = 700, nil
		saved(t, l, vmmID(1), e)
		closed(t, l)
		if all := loaded(t, opened(t, path, Options{})); len(all) != len(was) || all[vmmID(1)].State.Record.VMM.Gen != 700 {
			t.Errorf("%d VMMs", len(all))
		}
	}
}

// TestDamagedOlderLedger damages each page of one: what can be read is found and the
// loss is reported, or the file is refused.
func TestDamagedOlderLedger(t *testing.T) {
	t.Parallel()
	const page = 4096
	for v := 1; v <= lastBolt; v++ {
		files, _ := kept(t, v)
		dir, started := memory(t), 0
		for at := 0; at < len(files[FileName]); at += page {
			for _, kind := range damages(at) {
				file := bytes.Clone(files[FileName])
				kind.do(file[at : at+block])
				d, err := openStore(files.with(FileName, file).put(t, dir))
				if err != nil && !errors.Is(err, ErrDamaged) {
					t.Errorf("schema %d, page %d, %s: %v", v, at/page, kind.name, err)
				}
				if err == nil {
					started++
				}
				// The first two pages are redundant.
				if at >= 2*page && err == nil && d.damaged == 0 && len(d.vmms) != len(keptEntries()) {
					t.Errorf("schema %d, page %d, %s: %d VMMs without a report", v, at/page, kind.name, len(d.vmms))
				}
			}
		}
		if started == 0 {
			t.Error("nothing was opened")
		}
	}
}

// TestKeptFileIsCurrent: the present code writes what the stored file of its schema
// holds. If this fails, the schema has changed and needs a new number and a reader for
// the old one.
func TestKeptFileIsCurrent(t *testing.T) {
	t.Parallel()
	_, want := kept(t, schema)
	path := newPath(t)
	writeKept(t, path)
	if diff := cmp.Diff(want, dumpOf(t, path)); diff != "" {
		t.Error(diff)
	}
}

// keptEntries returns VMMs in every phase, with every field of a state.
func keptEntries() map[uuid.UUID]Entry {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)
	all := map[uuid.UUID]Entry{}
	for p := vmm.Registered; p <= vmm.Forgotten; p++ {
		e := numbered(int(p), uint64(p)+1, 20)
		s := &e.State
		s.Phase, s.Since, s.Epoch = p, at, uint64(p)
		switch p {
		case vmm.Registered:
			id := vmmID(200)
			e.Registration.MigrationID = &id
			s.Record.MigrationIn = &vmm.Migration{ID: id, State: vmm.MigrationPending, Gen: 1, Updated: at}
			s.Src = "[fd00::1]:12400"
		case vmm.Booting:
			s.Cold = true
			s.Armed = vmm.Deadline{For: vmm.ForStart, Epoch: s.Epoch, At: at.Add(15 * time.Minute)}
		case vmm.Active:
			r := e.Registration
			r.SiloID, r.ProjectID, r.Zvols, r.PrimaryMTU = vmmID(202), vmmID(203), []string{"oxp_1/zvol"}, 8500
			r.NICs = []vmm.NIC{{ID: vmmID(204), Name: "net0", MAC: "A8:40:25:F0:00:01", Slot: 1, VNI: 100, Primary: true}}
			s.Propolis = vmm.PropolisSeen{State: vmm.PropolisRebooting, Gen: 9, At: at}
			s.Armed = vmm.Deadline{For: vmm.ForReboot, Epoch: s.Epoch, At: at.Add(time.Minute)}
			s.Record.MigrationOut = &vmm.Migration{ID: vmmID(201), State: vmm.MigrationFailed, Gen: 3, Updated: at}
		case vmm.Stopping:
			s.Stop = &vmm.StopRecord{By: vmm.ByOperator, Requested: at, Grace: time.Minute, Asked: true, Acked: at.Add(time.Second)}
			s.Armed = vmm.Deadline{For: vmm.ForStop, Epoch: s.Epoch, At: at.Add(time.Minute)}
			e.Zone = Zone{Name: "oxz_4", Path: "/zones/oxz_4", Incarnation: "12/34", Links: map[string]string{"nic": "opte0"},
				Datalinks: []string{"oxControl4", "opte0"}}
		case vmm.Removing:
			s.Stop = &vmm.StopRecord{By: vmm.ByGuest, Requested: at}
			s.Outcome, s.Reason = vmm.Destroyed, "its guest has stopped"
		case vmm.Ended:
			s.Outcome, s.Reason, s.Disowned = vmm.Failed, "the zone \"ended\"", true
		}
		all[vmmID(int(p))] = e
	}
	return all
}

// keptEnd is a VMM that has ended, in the stored ledgers from schema 2 on.
var keptEnd = vmmID(300)

const keepKept = 200 * 365 * 24 * time.Hour

// writeKept writes keptEntries at the time that they contain, an hour after boot.
func writeKept(t *testing.T, path string) {
	t.Helper()
	l := opened(t, path, Options{KeepEnded: keepKept})
	l.cancel()
	<-l.done
	at := time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)
	b := batch{changes: map[uuid.UUID]*change{}}
	for id, e := range keptEntries() {
		state, err := encodeState(e, at, time.Hour, "kept")
		if err != nil {
			t.Fatal(err)
		}
		registration, err := encodeRegistration(e.Registration)
		if err != nil {
			t.Fatal(err)
		}
		b.changes[id] = &change{entry: &e, docs: docs{registration, state}}
	}
	last := end{at, keptEnd, encodeEnded(*lastOf(keptEnd, 3))}
	l.insert(last)
	b.changes[keptEnd] = &change{anew: true, last: &last}
	if err := l.commit(b); err != nil {
		t.Fatal(err)
	}
	l.store.close()
}

func keepSchema(t *testing.T) {
	t.Helper()
	base := filepath.Join("testdata", fmt.Sprintf("v%d", schema))
	if _, err := os.Stat(base); err == nil {
		t.Fatalf("%s exists", base)
	}
	path := newPath(t)
	writeKept(t, path)
	imageOf(t, path).put(t, base)
	if err := os.WriteFile(base+".dump", []byte(dumpOf(t, path)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// dumpOf returns a ledger's dump, indented.
func dumpOf(t *testing.T, path string) string {
	t.Helper()
	var lines, out bytes.Buffer
	if err := Dump(path, &lines); err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(lines.Bytes()) {
		if err := json.Indent(&out, line, "", "  "); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}
