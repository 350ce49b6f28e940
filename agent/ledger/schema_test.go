package ledger

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

var keep = flag.Bool("keep", false, "make testdata/v<N>.db of the present schema, if it is not there, and its dump")

func kept(version int) (db, dumped string) {
	base := filepath.Join("testdata", fmt.Sprintf("v%d", version))
	return base + ".db", base + ".dump"
}

// TestKeptFiles reads a kept file of every schema there has been, brings it up to
// date and compares what it holds with what it always did. A kept file is never
// made anew: it is what agents of that version have left on disks.
func TestKeptFiles(t *testing.T) {
	t.Parallel()
	if len(migrations) != schema-1 {
		t.Fatalf("%d migrations lead to schema %d", len(migrations), schema)
	}
	if *keep {
		keepSchema(t)
	}
	for v := 1; v <= schema; v++ {
		t.Run(fmt.Sprint("schema ", v), func(t *testing.T) {
			db, dumped := kept(v)
			file, err := os.ReadFile(db)
			if err != nil {
				t.Fatalf("each schema needs a kept file; -keep makes one: %v", err)
			}
			path := newPath(t)
			write(t, path, file)
			l := opened(t, path, Options{Clock: newClock("kept", 2*time.Hour)})
			if n := len(loaded(t, l)); n != len(keptEntries()) {
				t.Errorf("%d VMMs", n)
			}
			closed(t, l)
			want, err := os.ReadFile(dumped)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), dumpOf(t, path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestKeptFileIsOfThisCode: what the present code writes of the same entries is
// what the kept file of its schema holds. If not, the schema has changed and
// needs a new number and a migration.
func TestKeptFileIsOfThisCode(t *testing.T) {
	t.Parallel()
	_, dumped := kept(schema)
	want, err := os.ReadFile(dumped)
	if err != nil {
		t.Fatal(err)
	}
	path := newPath(t)
	writeKept(t, path)
	if diff := cmp.Diff(string(want), dumpOf(t, path)); diff != "" {
		t.Error(diff)
	}
}

// keptEntries are VMMs of every phase, with all that a state can have.
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
			r.NICs = []wire.NIC{{ID: vmmID(204), Name: "net0", MAC: "A8:40:25:F0:00:01", Slot: 1, VNI: 100, Primary: true}}
			s.Propolis = vmm.PropolisSeen{State: vmm.PropolisRebooting, Gen: 9, At: at}
			s.Armed = vmm.Deadline{For: vmm.ForReboot, Epoch: s.Epoch, At: at.Add(time.Minute)}
			s.Record.MigrationOut = &vmm.Migration{ID: vmmID(201), State: vmm.MigrationFailed, Gen: 3, Updated: at}
		case vmm.Stopping:
			s.Stop = &vmm.StopRecord{By: vmm.ByOperator, Requested: at, Grace: time.Minute, Asked: true, Acked: at.Add(time.Second)}
			s.Armed = vmm.Deadline{For: vmm.ForStop, Epoch: s.Epoch, At: at.Add(time.Minute)}
			e.Zone = Zone{Incarnation: "12/34", Links: map[string]string{"nic": "opte0"}}
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

// writeKept writes them as if it were the moment that their times are of, an
// hour after the host's boot.
func writeKept(t *testing.T, path string) {
	t.Helper()
	l := opened(t, path, Options{})
	l.cancel()
	<-l.done
	at := time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)
	batch := map[uuid.UUID]*change{}
	for id, e := range keptEntries() {
		state, err := encodeState(e, at, time.Hour, "kept")
		if err != nil {
			t.Fatal(err)
		}
		registration, err := encodeRegistration(e.Registration)
		if err != nil {
			t.Fatal(err)
		}
		batch[id] = &change{entry: &e, docs: docs{registration, state}}
	}
	if err := l.commit(batch); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
}

func keepSchema(t *testing.T) {
	t.Helper()
	db, dumped := kept(schema)
	if _, err := os.Stat(db); err == nil {
		t.Fatalf("there is %s already", db)
	}
	path := newPath(t)
	writeKept(t, path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{db: file, dumped: []byte(dumpOf(t, path))} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dumpOf is a ledger's dump, with white space for people.
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
