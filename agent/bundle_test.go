package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

// TestBundles verifies that each end that was forced or failed is handed over once, with
// its events, and no other end.
func TestBundles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		propolis string
		end      func(r *rig) guest
		event    string
	}{
		"forced at the deadline": {"ignore-stop", func(r *rig) guest {
			v := r.start()
			r.stop(v, d(time.Minute))
			r.await(v, vmm.WireDestroyed)
			return v
		}, "deadline"},
		"killed by the operator": {"", func(r *rig) guest {
			v := r.start()
			if _, err := r.Kill(r.t.Context(), v.id); err != nil {
				r.t.Error(err)
			}
			r.await(v, vmm.WireDestroyed)
			return v
		}, "killed-by-operator"},
		"failed": {"", func(r *rig) guest {
			v := r.start()
			r.zones.Die(v.zone)
			r.await(v, vmm.WireFailed)
			return v
		}, "gone"},
		"failed to start": {"refuse-ensure=400", func(r *rig) guest {
			v := r.register()
			r.run(v)
			r.await(v, vmm.WireFailed)
			return v
		}, "start-failed"},
		"unregistered while it ran": {"", func(r *rig) guest {
			v := r.start()
			_, _ = r.Unregister(r.t.Context(), v.id)
			return v
		}, "unregister"},
		"in order": {"", func(r *rig) guest {
			v := r.start()
			r.stop(v, nil)
			r.await(v, vmm.WireDestroyed)
			return v
		}, ""},
		"stopped before it was started": {"", func(r *rig) guest {
			v := r.register()
			r.stop(v, nil)
			r.await(v, vmm.WireDestroyed)
			return v
		}, ""},
		"unregistered before it was started": {"", func(r *rig) guest {
			v := r.register()
			_, _ = r.Unregister(r.t.Context(), v.id)
			return v
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got collector
				r := newRigOn(t, nil, func(r *rig) { r.adjust = func(c *agent.Config) { c.Bundle = got.add } })
				if c.propolis != "" {
					r.misbehave(c.propolis)
				}
				v := c.end(r)
				r.forgotten(v)
				got.verify(t, v, c.event)
				r.close()
			})
		})
	}
}

// A collector stands in for the store.
type collector struct {
	mu  sync.Mutex
	all []bundle.Evidence
}

func (c *collector) add(e bundle.Evidence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, e)
}

// verify verifies that there is one bundle, with that event; none if event is empty.
func (c *collector) verify(t *testing.T, v guest, event string) {
	t.Helper()
	switch {
	case event == "" && len(c.all) == 0:
		return
	case event == "" || len(c.all) != 1:
		t.Fatalf("there are %d bundles", len(c.all))
	}
	e := c.all[0]
	if e.Zone != v.zone || e.Cause != bundle.TerminatedInstance || e.Status.ID != v.id || e.Status.Removal.Gone == nil {
		t.Errorf("the bundle is %+v", e)
	}
	var kinds []string
	for _, e := range e.Status.Events {
		kinds = append(kinds, e.Kind)
	}
	if all := strings.Join(kinds, " "); !strings.Contains(all, event) || !strings.Contains(all, "terminal") {
		t.Errorf("the events are %s, without %s", all, event)
	}
	if !strings.Contains(string(e.Log), "last output of "+v.zone) {
		t.Errorf("the log is %q", e.Log)
	}
}

// The removal of a zone that belongs to no VMM leaves a bundle as well.
func TestBundleOfAnOrphan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got collector
		r := newRigOn(t, nil, func(r *rig) {
			r.adjust = func(c *agent.Config) { c.Bundle = got.add }
			r.zones.Put(prefix+"lost", zone.Running)
		})
		pass(time.Minute)
		if len(got.all) != 1 || got.all[0].Cause != bundle.UnexpectedZone || got.all[0].Zone != prefix+"lost" ||
			!strings.Contains(string(got.all[0].Log), "last output") {
			t.Errorf("the bundles are %+v", got.all)
		}
		r.close()
	})
}

// A store that has no disk delays neither a deadline nor a publication.
func TestBundlesDelayNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bundles")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		store := bundle.Open(file, zerolog.Nop())
		r := newRigOn(t, nil, func(r *rig) { r.adjust = func(c *agent.Config) { c.Bundle = store.Add } })
		r.misbehave("ignore-stop")
		var all []guest
		for range 5 {
			all = append(all, r.start())
		}
		at := time.Now().Add(time.Minute)
		for _, v := range all {
			r.stop(v, d(time.Minute))
		}
		pass(time.Minute)
		for _, v := range all {
			r.await(v, vmm.WireDestroyed)
			r.forgotten(v)
			if begun := r.removal(v); !begun.Equal(at) {
				t.Errorf("the removal began at %s, not at %s", begun, at)
			}
		}
		if store.Lost() != 5 {
			t.Errorf("%d bundles are lost", store.Lost())
		}
		r.close()
		if err := store.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
