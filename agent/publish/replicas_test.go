package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// Until a replica is known a Put is answered at once; then it is used. That none is known any
// more changes nothing.
func TestReplicasComeLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := client(t, newFake(t, always(204)), func(cfg *Config) { cfg.Addresses, cfg.Named = nil, true })
		if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != CannotTell || !errors.Is(a.Err, errNoReplica) || a.Sent != 0 {
			t.Errorf("%+v", a)
		}
		c.SetReplicas([]string{nexus2 + "/"})
		c.SetReplicas(nil)
		if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != Acked {
			t.Errorf("%+v", a)
		}
		if all, avoided := c.Replicas(); !slices.Equal(all, []string{nexus2}) || avoided != 0 {
			t.Errorf("replicas are %v, %d avoided", all, avoided)
		}
	})
}

// Calls that wait for a place at a hanging replica are sent to a new one as soon as it is known;
// the PUTs in progress go on.
func TestNewReplicaForWaitingCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply { return reply{status: 204, hang: c.base == nexus1} })
		c := client(t, f, nil)
		const n = 100
		var as answers
		for range n {
			as.put(c, 1)
		}
		synctest.Wait()
		c.SetReplicas([]string{nexus2})
		synctest.Wait()
		if st := c.Stats(); as.acked() != n-16 || st.InFlight != 16 || st.Waiting != 0 {
			t.Errorf("%d acknowledged; %+v", as.acked(), st)
		}
		as.wg.Wait() // those 16 time out; their rounds began before the new replica was known
		if _, avoided := c.Replicas(); as.acked() != n-16 || avoided != 0 {
			t.Errorf("%d acknowledged, %d replicas avoided", as.acked(), avoided)
		}
	})
}

// A replica that stays in the set keeps what is known of it.
func TestReplicaThatStaysIsStillAvoided(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply { return reply{reset: c.base == nexus1, status: 204} })
		c := client(t, f, nil)
		c.Put(t.Context(), uuid.New(), running(1))
		c.SetReplicas([]string{nexus1, nexus2})
		if a := c.Put(t.Context(), uuid.New(), running(1)); a.Sent != 1 || a.Verdict != Acked {
			t.Errorf("%+v", a)
		}
		if _, avoided := c.Replicas(); avoided != 1 {
			t.Errorf("%d avoided", avoided)
		}
	})
}

// A set that changes all the time to replicas that hang makes neither rounds nor the number of
// PUTs endless.
func TestReplicasThatChangeAllTheTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{hang: true} })
		c := client(t, f, func(cfg *Config) { cfg.RequestTimeout = time.Hour })
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Hour)
		defer cancel()
		var ended atomic.Int32
		for range 40 {
			go func() {
				if a := c.Put(ctx, uuid.New(), running(1)); a.Sent > 1 {
					t.Errorf("%d PUTs in a round that began with one replica", a.Sent)
				}
				ended.Add(1)
			}()
		}
		for i := range 1000 {
			time.Sleep(10 * time.Second)
			c.SetReplicas([]string{fmt.Sprintf("http://nexus-%d", i)})
		}
		cancel()
		synctest.Wait()
		if f.most > 32 || f.most < 20 || ended.Load() != 40 {
			t.Errorf("%d PUTs at once, %d calls have ended", f.most, ended.Load())
		}
	})
}
