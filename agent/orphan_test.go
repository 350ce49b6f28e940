package agent_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// zoneNamed returns a zone of the list.
func (r *rig) zoneNamed(name string) vmm.ZoneStatus {
	r.t.Helper()
	list := r.ListZones()
	if list.Trouble != "" {
		r.t.Errorf("the list's trouble: %s", list.Trouble)
	}
	for _, z := range list.Zones {
		if z.Name == name {
			return z
		}
	}
	return vmm.ZoneStatus{}
}

// isZone verifies a zone's state on the host.
func (r *rig) isZone(name string, want zone.State) {
	r.t.Helper()
	if i, err := r.zones.Look(r.t.Context(), name); err != nil || i.State != want {
		r.t.Errorf("zone %s is %s, %v, want %s", name, i.State, err, want)
	}
}

// An operator removes the orphan that was named, and nothing else. The zone of a VMM is refused.
func TestOperatorRemovesAnOrphan(t *testing.T) {
	t.Parallel()
	const first, second = prefix + "a", prefix + "b"
	for name, c := range map[string]struct {
		journal agent.Journal
		keep    bool
		why     string
	}{
		"kept by the configuration": {nil, true, "zones.orphans is keep"},
		"beside a new ledger":       {&freshLedger{Memory: ledger.NewMemory(0), fresh: true}, false, "the ledger is new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newHost(t)
				r.zones.Put(first, zone.Running)
				r.zones.Put(second, zone.Running)
				r.adjust = func(cfg *agent.Config) { cfg.KeepOrphans = c.keep }
				r.begin(c.journal, nil)
				v := r.start()
				began := time.Now()
				pass(time.Minute)
				if z := r.zoneNamed(first); !z.Orphan || !strings.HasPrefix(z.Kept, c.why) || z.State != "running" || z.VMM != nil || began.Before(z.Since) {
					t.Errorf("an orphan is shown as %+v", z)
				}
				if z := r.zoneNamed(v.zone); z.Orphan || z.VMM == nil || *z.VMM != v.id || z.Hostname == "" {
					t.Errorf("the zone of a VMM is shown as %+v", z)
				}
				if _, err := r.RemoveZone(t.Context(), "operator alice", v.zone); !vmm.Refused(err, vmm.Conflict) || !strings.Contains(err.Error(), v.id.String()) {
					t.Errorf("the zone of a VMM: %v", err)
				}
				for _, none := range []string{prefix + "c", "other", "global"} {
					if _, err := r.RemoveZone(t.Context(), "operator alice", none); !vmm.Refused(err, vmm.NoZone) {
						t.Errorf("%s: %v", none, err)
					}
				}
				z, err := r.RemoveZone(t.Context(), "operator alice", first)
				if err != nil || z.By != "operator alice" || z.Removal == nil || z.Kept != "" {
					t.Errorf("%+v, %v", z, err)
				}
				pass(time.Minute)
				r.isZone(first, zone.Absent)
				r.isZone(second, zone.Running)
				r.lives(v)
				r.close()
			})
		})
	}
}

// A removal that the host refuses is shown and retried. Until it ends no VMM is registered whose
// zone this would be: the removal would take that one, too.
func TestOrphanThatResists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newHost(t)
		id := uuid.New()
		name := prefix + id.String()
		r.zones.Put(name, zone.Running)
		r.zones.SetFault(name, zonetest.Halt, zonetest.Fault{Fail: true})
		r.adjust = func(cfg *agent.Config) { cfg.KeepOrphans = true }
		r.begin(nil, nil)
		pass(time.Minute)
		for range 2 { // the second changes nothing
			if _, err := r.RemoveZone(t.Context(), "operator alice", name); err != nil {
				t.Fatal(err)
			}
			pass(time.Minute)
		}
		if s := r.zoneNamed(name); s.Removal == nil || s.Removal.Rung != "halt" || s.Removal.LastError == "" || s.Removal.Attempt < 2 {
			t.Errorf("the removal is shown as %+v", s.Removal)
		}
		reg := wiretest.Registration(wire.BodyOptions{})
		if _, err := r.Register(t.Context(), id, reg); !vmm.Refused(err, vmm.Busy) {
			t.Errorf("registered beside the removal: %v", err)
		}
		r.zones.SetFault(name, zonetest.Halt, zonetest.Fault{})
		pass(time.Minute)
		r.isZone(name, zone.Absent)
		if _, err := r.Register(t.Context(), id, reg); err != nil {
			t.Errorf("after the removal: %v", err)
		}
		r.close()
	})
}

// What the agent cannot tell removes nothing, and is said.
func TestUnlistedZonesAreNotRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newHost(t)
		const name = prefix + "a"
		r.zones.Put(name, zone.Running)
		r.zones.SetFault("", zonetest.List, zonetest.Fault{Fail: true})
		r.zones.SetFault(name, zonetest.Look, zonetest.Fault{Fail: true})
		r.adjust = func(cfg *agent.Config) { cfg.KeepOrphans = true }
		r.begin(nil, nil)
		pass(time.Minute)
		if list := r.ListZones(); len(list.Zones) > 0 || list.Trouble == "" || !list.At.IsZero() {
			t.Errorf("%+v", list)
		}
		if _, err := r.RemoveZone(t.Context(), "operator alice", name); err == nil {
			t.Error("a zone of which nothing is known is removed")
		}
		r.zones.SetFault(name, zonetest.Look, zonetest.Fault{})
		pass(time.Minute)
		r.isZone(name, zone.Running)
		if _, err := r.RemoveZone(t.Context(), "operator alice", name); err != nil {
			t.Errorf("a zone that exists, but is not listed: %v", err)
		}
		pass(time.Minute)
		r.isZone(name, zone.Absent)
		r.close()
	})
}

// Before the ledger is loaded every zone might belong to a VMM.
func TestNoZoneIsRemovedWhileLoading(t *testing.T) {
	t.Parallel()
	a := agent.New(agent.Config{Zones: zonetest.New(zonetest.Hooks{}), Prefix: prefix})
	if _, err := a.RemoveZone(t.Context(), "operator alice", prefix+"a"); !vmm.Refused(err, vmm.Loading) {
		t.Errorf("%v", err)
	}
	a.Drain()
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
