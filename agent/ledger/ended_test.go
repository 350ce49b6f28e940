package ledger

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// lastOf returns the last Status of a VMM, with some events.
func lastOf(id uuid.UUID, events int) *vmm.Status {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s := &vmm.Status{ID: id, InstanceID: vmmID(900), Hostname: "web-1", Zone: "oxz_1", Addr: anyAddr.String(), Phase: "forgotten",
		Since: at, Outcome: "failed", Reason: "zone is down", Stop: &vmm.StopStatus{By: "operator", Requested: at, Grace: time.Minute},
		Removal: &vmm.RemovalStatus{Begun: at, Rung: "halt", ZoneState: "absent", Gone: &at},
		Record:  vmm.Record{VMM: vmm.Runtime{State: vmm.WireFailed, Gen: 1<<63 + 1, Updated: at}}}
	for n := range events {
		s.Events = append(s.Events, vmm.Event{At: at.Add(time.Duration(n)), Kind: "phase", Text: fmt.Sprint("event ", n)})
	}
	return s
}

// endedIs compares what is stored of an ended VMM with what was given.
func endedIs(t *testing.T, l interface {
	Ended(uuid.UUID) (vmm.Status, bool)
	AllEnded() []vmm.Status
	HasEnded(uuid.UUID) bool
}, want ...*vmm.Status,
) {
	t.Helper()
	var list []vmm.Status
	for _, w := range want {
		got, ok := l.Ended(w.ID)
		if diff := cmp.Diff(*w, got); !ok || diff != "" || !l.HasEnded(w.ID) {
			t.Errorf("%s: there: %t, %t; %s", w.ID, ok, l.HasEnded(w.ID), diff)
		}
		short := *w
		short.Events = nil
		list = append(list, short)
	}
	if diff := cmp.Diff(list, l.AllEnded()); len(want) > 0 && diff != "" {
		t.Errorf("listed: %s", diff)
	}
	if all := l.AllEnded(); all == nil || len(all) != len(want) {
		t.Errorf("listed: %d, want %d", len(all), len(want))
	}
}

// TestEndsSurviveRestart: the last Status can be read later, latest first. A VMM
// dropped without a Status has not ended.
func TestEndsSurviveRestart(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		l := opened(t, path, Options{})
		for n := range 3 {
			saved(t, l, vmmID(n), numbered(n, 1, 10))
		}
		first, second := lastOf(vmmID(0), 90), lastOf(vmmID(1), 0)
		l.Drop(vmmID(0), first)
		endedIs(t, l, first)
		time.Sleep(time.Second)
		l.Drop(vmmID(1), second)
		l.Drop(vmmID(2), nil)
		endedIs(t, l, second, first)
		closed(t, l)
		l = opened(t, path, Options{})
		endedIs(t, l, second, first)
		if n := len(loaded(t, l)); n != 0 || l.HasEnded(vmmID(2)) {
			t.Errorf("%d VMMs, or an end that was not saved", n)
		}
		if _, ok := l.Ended(vmmID(2)); ok {
			t.Error("an end that was not saved")
		}
	})
}

// TestMemoryKeepsEnds: so does an agent without a ledger.
func TestMemoryKeepsEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(0)
		endedIs(t, m)
		first, second := lastOf(vmmID(0), 3), lastOf(vmmID(1), 3)
		m.Drop(vmmID(0), first)
		time.Sleep(time.Second)
		m.Drop(vmmID(1), second)
		m.Drop(vmmID(2), nil)
		endedIs(t, m, second, first)
		if m.HasEnded(vmmID(2)) || m.Trouble() != nil || m.Fresh() || m.Save(vmmID(0), Entry{}) != nil {
			t.Error("more is kept than configured")
		}
		time.Sleep(8 * 24 * time.Hour)
		endedIs(t, m)
		if !m.HasEnded(first.ID) {
			t.Error("the id was removed with its Status")
		}
	})
}

// TestEndsExpire: a Status is kept as long as configured, its id for 30 days, across
// restarts. On disk they are removed by later transactions.
func TestEndsExpire(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		l := opened(t, path, Options{KeepEnded: time.Hour})
		old := lastOf(vmmID(0), 1)
		l.Drop(old.ID, old)
		time.Sleep(40 * time.Minute)
		young := lastOf(vmmID(1), 1)
		l.Drop(young.ID, young)
		closed(t, l)
		time.Sleep(21 * time.Minute)
		l = opened(t, path, Options{KeepEnded: time.Hour})
		endedIs(t, l, young)
		if !l.HasEnded(old.ID) {
			t.Error("the id was removed with its Status")
		}
		time.Sleep(40 * time.Minute)
		endedIs(t, l)
		// On disk they are removed when another VMM ends after a restart.
		again := func(docs, ids int) {
			t.Helper()
			closed(t, l)
			l = opened(t, path, Options{KeepEnded: time.Hour})
			l.Drop(vmmID(2), lastOf(vmmID(2), 1))
			closed(t, l)
			if n, m := onDisk(t, path); n != docs || m != ids {
				t.Errorf("%d and %d on disk", n, m)
			}
			l = opened(t, path, Options{KeepEnded: time.Hour})
		}
		again(1, 3)
		time.Sleep(keepIDs)
		if l.HasEnded(old.ID) || l.HasEnded(young.ID) {
			t.Error("ids never expire")
		}
		time.Sleep(time.Hour)
		again(1, 1)
	})
}

// onDisk counts the Statuses and the ids in ended.db.
func onDisk(t *testing.T, path string) (docs, ids int) {
	t.Helper()
	d, err := openStore(path)
	if err != nil || d.endsDamaged > 0 {
		t.Fatal(err, d.endsDamaged)
	}
	for _, e := range d.ends {
		if len(e.doc) > 0 {
			docs++
		}
	}
	return docs, len(newEnded(keepKept, d.ends).ends)
}

// TestEndsAreBounded in number, in memory at once and on disk soon.
func TestEndsAreBounded(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	const more = 300
	for n := range maxEnded + more {
		l.Drop(vmmID(n), lastOf(vmmID(n), 1))
	}
	if n := len(l.AllEnded()); n != maxEnded {
		t.Errorf("%d are kept", n)
	}
	if _, ok := l.Ended(vmmID(more - 1)); ok || !l.HasEnded(vmmID(0)) {
		t.Error("the oldest Status is kept, or its id is missing")
	}
	if _, ok := l.Ended(vmmID(more)); !ok {
		t.Error("one of the newest is missing")
	}
	closed(t, l)
	l = opened(t, path, Options{})
	if n := len(l.AllEnded()); n != maxEnded {
		t.Errorf("%d are kept after a restart", n)
	}
	l.Drop(vmmID(5000), lastOf(vmmID(5000), 1))
	closed(t, l)
	if n, ids := onDisk(t, path); n != maxEnded || ids != maxEnded+more+1 {
		t.Errorf("%d and %d on disk", n, ids)
	}
}

// TestIDsAreBounded: in memory only, for speed.
func TestIDsAreBounded(t *testing.T) {
	t.Parallel()
	d, now := newEnded(0, nil), time.Now()
	id := func(n int) uuid.UUID { return uuid.UUID{1, 2, 3, byte(n >> 16), byte(n >> 8), byte(n)} }
	for n := range maxIDs + 1000 {
		d.insert(end{at: now.Add(time.Duration(n)), id: id(n)})
	}
	if n := len(d.all()); n != maxIDs || d.HasEnded(id(999)) || !d.HasEnded(id(1000)) {
		t.Errorf("%d ids are kept", n)
	}
}

// TestReusedIDHasOneEnd: if an id was used twice, the later end counts, also when the
// first one expires.
func TestReusedIDHasOneEnd(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		l := opened(t, path, Options{})
		first, second := lastOf(vmmID(0), 1), lastOf(vmmID(0), 2)
		second.Hostname = "second"
		l.Drop(first.ID, first)
		time.Sleep(20 * 24 * time.Hour)
		saved(t, l, first.ID, numbered(1, 1, 10))
		l.Drop(second.ID, second)
		endedIs(t, l, second)
		closed(t, l)
		l = opened(t, path, Options{})
		endedIs(t, l, second)
		time.Sleep(15 * 24 * time.Hour)
		if !l.HasEnded(first.ID) {
			t.Error("the second end expired with the first")
		}
	})
}

// TestEndIsRetried until it is on disk, also if the id is in use again meanwhile.
func TestEndIsRetried(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*Ledger){
		"nothing":       func(*Ledger) {},
		"id reused":     func(l *Ledger) { l.Save(vmmID(0), numbered(2, 1, 10)) },
		"dropped again": func(l *Ledger) { l.Drop(vmmID(0), nil) },
	} {
		path := newPath(t)
		synctest.Test(t, func(t *testing.T) {
			var recovered atomic.Bool
			l := opened(t, path, Options{BeforeCommit: func() error {
				if !recovered.Load() {
					return syscall.ENOSPC
				}
				return nil
			}})
			l.Save(vmmID(0), numbered(1, 1, 10))
			synctest.Wait()
			last := lastOf(vmmID(0), 3)
			l.Drop(last.ID, last)
			synctest.Wait()
			next(l)
			synctest.Wait()
			recovered.Store(true)
			time.Sleep(time.Minute)
			closed(t, l)
			l = opened(t, path, Options{})
			endedIs(t, l, last)
			if n := len(loaded(t, l)); (n == 1) != (name == "id reused") {
				t.Errorf("%s: %d VMMs", name, n)
			}
		})
	}
}

// TestLongEndsAreCut: the size of a stored Status is bounded, and its first and last
// events are kept.
func TestLongEndsAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\x1b[31m€<", 2000)
	many := lastOf(vmmID(0), 20_000)
	wordy := lastOf(vmmID(1), 100)
	wordy.Reason, wordy.Hostname, wordy.Removal.LastError = long, long, long
	for i := range wordy.Events {
		wordy.Events[i].Error = long
	}
	for _, s := range []*vmm.Status{many, wordy, lastOf(vmmID(2), 100)} {
		doc := encodeEnded(*s)
		got, ok := decodeEnded(end{time.Now(), s.ID, doc})
		if !ok || len(doc) > maxEndedDoc || len(got.Events) < 8 {
			t.Fatalf("%t: %d bytes, %d events", ok, len(doc), len(got.Events))
		}
		if got.Events[0].Text != s.Events[0].Text || got.Events[len(got.Events)-1].Text != s.Events[len(s.Events)-1].Text {
			t.Errorf("from %+v to %+v", got.Events[0], got.Events[len(got.Events)-1])
		}
		if got.Record != s.Record || !strings.HasPrefix(s.Reason, got.Reason) || got.Stop.By != "operator" {
			t.Errorf("%+v", got)
		}
	}
	bad := *lastOf(vmmID(3), 1)
	bad.Since = time.Unix(1<<50, 0)
	m := NewMemory(0)
	m.Drop(bad.ID, &bad)
	if !m.HasEnded(bad.ID) || len(m.AllEnded()) != 0 {
		t.Error("an end that cannot be encoded is kept, or its id is missing")
	}
}

// What is kept of ends, in any order of their times, is what a look at all of them finds: the
// latest Status of each VMM that is not too old, and the ids for longer.
func TestEndedMatchesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const keep = time.Hour
		d, now, all := newEnded(keep, nil), time.Now(), []end(nil)
		for i := range rapid.IntRange(1, 30).Draw(t, "ends") {
			days, minutes := rapid.SampledFrom([]int{0, 0, 29, 31}).Draw(t, "days"), rapid.IntRange(0, 90).Draw(t, "minutes")
			age := time.Duration(days*24*60+minutes)*time.Minute + 30*time.Second
			e := end{now.Add(-age - time.Duration(i)), vmmID(rapid.IntRange(0, 9).Draw(t, "id")), nil}
			if rapid.Bool().Draw(t, "has a Status") {
				e.doc = fmt.Appendf(nil, `{"id":%q,"reason":"%d"}`, e.id, i)
			}
			d.insert(e)
			all = append(all, e)
		}
		slices.SortFunc(all, func(a, b end) int { return b.at.Compare(a.at) })
		for n := range 10 {
			id, has, doc := vmmID(n), false, ""
			for _, e := range all {
				has = has || e.id == id && !e.older(keepIDs, now)
				if e.id == id && doc == "" && !e.older(keep, now) {
					doc = string(e.doc)
				}
			}
			var docs []string
			for _, e := range d.all() {
				if e.id == id && len(e.doc) > 0 {
					docs = append(docs, string(e.doc))
				}
			}
			if d.HasEnded(id) != has || string(d.last(id).doc) != doc || strings.Join(docs, " ") != doc {
				t.Fatalf("VMM %d has ended: %v, want %v; with %q, all %q, want %q", n, d.HasEnded(id), has, d.last(id).doc, docs, doc)
			}
		}
	})
}
