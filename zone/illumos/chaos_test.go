package illumos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// faulty are temporary faults of a host that otherwise works.
var faulty = []illumostest.Fault{
	{Do: illumostest.Omit}, {Do: illumostest.Omit, Text: "zoneadm: could not get zone path"},
	{Do: illumostest.Garbage, Command: "zoneadm", Verb: "list"},
	{Do: illumostest.Truncate, Command: "zoneadm", Verb: "list"},
	{Do: illumostest.Fail, Command: "zoneadm", Verb: "list", Text: "zoneadm: fork failed"},
	{Do: illumostest.Slow, Command: "zoneadm", Verb: "list", Delay: 300 * time.Millisecond},
	{Do: illumostest.Die, Command: "zoneadm", Verb: "list"},
	{Do: illumostest.LinksAway},
	{Do: illumostest.Garbage, Command: "dladm"}, {Do: illumostest.Fail, Command: "dladm"},
	{Do: illumostest.Truncate, Command: "zonecfg", Verb: "export"}, {Do: illumostest.Garbage, Command: "zonecfg", Verb: "export"},
	{Do: illumostest.Fail, Command: "pkill", Exit: 3}, {Do: illumostest.Fail, Command: "pgrep", Exit: 3},
	{Do: illumostest.Fail, Command: "svcs"}, {Do: illumostest.Garbage, Command: "svcs"},
	{Do: illumostest.Garbage, Command: "ipadm"},
	{Do: illumostest.Fail, Command: "zoneadm", Verb: "halt"}, {Do: illumostest.VarFull},
	{Do: illumostest.Fail, Command: "zoneadm", Verb: "uninstall"}, {Do: illumostest.Die, When: illumostest.During, Command: "zonecfg"},
}

// Under random faults, with and without access to the host's configurations, no
// running zone is reported as ended, and no removal ends before everything is gone.
func TestUnreliableHost(t *testing.T) {
	s := newSled(t)
	seeing := s.manager()
	blind := s.managerOf(func(c *illumos.Config) { c.ZonesDir = "/nonexistent" })
	managers := []*illumos.Manager{seeing, blind}
	s.mustBoot(seeing, alice)
	ctx, cancel := context.WithCancel(s.ctx())
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() { s.injectFaults(ctx) })
	looks, failed := 0, 0
	for i := range 3 {
		name := fmt.Sprintf("%s%d", prefix, i)
		removed := make(chan error, 1)
		go func() {
			m := managers[i%2]
			for err := s.boot(m, name); err != nil && ctx.Err() == nil; err = s.boot(m, name) {
				_ = zone.EnsureGone(ctx, m, name, quick)
			}
			err := zone.EnsureGone(ctx, m, name, quick)
			if _, there := s.Zone(name); there {
				err = errors.Join(err, errors.New("the zone exists"))
			}
			removed <- err
		}()
		for done := false; !done; looks++ {
			select {
			case err := <-removed:
				if done = true; err != nil {
					t.Errorf("lifecycle of %s: %v", name, err)
				}
			default:
			}
			i, err := managers[looks%2].Look(ctx, alice)
			if err != nil {
				failed++
			} else if i.State != zone.Running {
				t.Errorf("a running zone is reported as %v", i.State)
			}
			if why, err := managers[looks%2].ServerFailed(ctx, alice); err == nil && why != "" {
				t.Errorf("a running server is reported as failed: %s", why)
			}
		}
	}
	cancel()
	group.Wait()
	s.ReleaseAll()
	t.Logf("%d looks, of which %d failed", looks, failed)
	s.wantGone(seeing, alice)
}

// injectFaults injects random faults one after another, each for a short time.
func (s *sled) injectFaults(ctx context.Context) {
	for ctx.Err() == nil {
		f := faulty[rand.IntN(len(faulty))]
		f.Times = 1 + rand.IntN(20)
		fault := s.Inject(f)
		select {
		case <-time.After(time.Duration(20+rand.IntN(200)) * time.Millisecond):
		case <-ctx.Done():
		}
		fault.Release()
	}
}
