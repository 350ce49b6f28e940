package publish

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/agent/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test under a fake clock. That every goroutine has ended is
// checked by the bubble itself.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Parallel()
	synctest.Test(t, f)
}

func TestAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(204))
		p := start(t, f, nil)
		var res results
		id := uuid.New()
		p.Offer(id, running(3), res.notify)
		synctest.Wait()
		if got := res.one(t); got != (Result{Gen: 3, Acked: true, Attempts: 1}) {
			t.Errorf("result is %+v", got)
		}
		if st, ok := p.Status(id); !ok || st != (vmm.PublishStatus{Gen: 3, Acked: 3, Attempts: 1}) {
			t.Errorf("status is %+v, %v", st, ok)
		}
		if st := p.Stats(); st != (Stats{Acked: 1}) {
			t.Errorf("stats are %+v", st)
		}
		if _, ok := p.Status(uuid.New()); ok {
			t.Error("a VMM that was never offered has a status")
		}
	})
}

// What an earlier process has heard acknowledged is not sent again, but for a
// terminal record, whose acknowledgement somebody waits for.
func TestAcknowledgedToAnEarlierProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(204))
		p := start(t, f, nil)
		var res results
		known, ended := uuid.New(), uuid.New()
		p.Acknowledged(known, 3)
		p.Acknowledged(ended, 5)
		if _, ok := p.Status(known); ok {
			t.Error("there is a status before anything was offered")
		}
		p.Offer(known, running(3), res.notify)
		synctest.Wait()
		if st, ok := p.Status(known); !ok || st != (vmm.PublishStatus{Gen: 3, Acked: 3}) {
			t.Errorf("status is %+v, %v", st, ok)
		}
		if len(res.list()) != 0 || len(f.gens()) != 0 {
			t.Errorf("notified %+v, sent %v", res.list(), f.gens())
		}
		p.Offer(known, running(4), nil)
		p.Offer(ended, destroyed(5), res.notify)
		synctest.Wait()
		if got := res.one(t); got != (Result{Gen: 5, Acked: true, Attempts: 1}) {
			t.Errorf("result is %+v", got)
		}
		if got := f.gens(); !slices.Contains(got, 4) || !slices.Contains(got, 5) || len(got) != 2 {
			t.Errorf("sent %v", got)
		}
	})
}

func TestNewestWinsWhileAnOlderPUTIsSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply { return reply{status: 204, after: 3 * time.Second} })
		p := start(t, f, nil)
		var res results
		id := uuid.New()
		for _, gen := range []uint64{4, 2} {
			p.Offer(id, running(gen), res.notify)
		}
		synctest.Wait()
		for _, gen := range []uint64{5, 7, 6, 7} {
			p.Offer(id, running(gen), res.notify)
		}
		time.Sleep(time.Minute)
		if got := f.gens(); !slices.Equal(got, []uint64{4, 7}) {
			t.Errorf("sent generations %v, want 4 and 7", got)
		}
		if got := res.one(t); got.Gen != 7 || !got.Acked {
			t.Errorf("result is %+v", got)
		}
	})
}

// Whatever becomes of a PUT that was under way, the record offered meanwhile is
// neither refused nor given up nor acknowledged with it.
func TestNewerRecordOutlivesAnOlderAnswer(t *testing.T) {
	t.Parallel()
	for _, first := range []vmm.Record{running(1), destroyed(1)} {
		for _, status := range []int{200, 204, 400, 404, 410, 503} {
			t.Run(fmt.Sprint(first.VMM.State, status), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f := newFake(t, func(c call) reply {
						if c.gen == 1 {
							return reply{status: status, after: time.Second}
						}
						return reply{status: 204}
					})
					p := start(t, f, func(c *Config) { c.GiveUpAfter = time.Second })
					var res results
					id := uuid.New()
					p.Offer(id, first, res.notify)
					time.Sleep(time.Second / 2)
					p.Offer(id, destroyed(2), res.notify)
					time.Sleep(time.Minute)
					if got := res.one(t); got.Gen != 2 || !got.Acked {
						t.Errorf("result is %+v", got)
					}
				})
			})
		}
	}
}

func TestOlderThanAcknowledgedIsIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(204))
		p := start(t, f, nil)
		id := uuid.New()
		for _, gen := range []uint64{5, 4, 5} {
			p.Offer(id, destroyed(gen), nil)
			synctest.Wait()
		}
		if got := f.gens(); !slices.Equal(got, []uint64{5}) {
			t.Errorf("sent generations %v, want 5", got)
		}
	})
}

func TestOfferKeepsNoPointers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(204))
		p := start(t, f, nil)
		r := running(1)
		r.MigrationOut = &vmm.Migration{ID: uuid.New(), State: vmm.MigrationPending}
		p.Offer(uuid.New(), r, nil)
		r.MigrationOut.Gen = 9 // the race detector tells whether anybody still reads it
		synctest.Wait()
	})
}

func TestDropDuringPUT(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{hang: true} })
		p := start(t, f, nil)
		var res results
		id := uuid.New()
		p.Offer(id, destroyed(1), res.notify)
		synctest.Wait()
		p.Offer(id, destroyed(2), res.notify)
		select {
		case <-p.Idle(id):
			t.Error("idle while a PUT is under way")
		default:
		}
		before := time.Now()
		p.Drop(id)
		<-p.Idle(id)
		if took := time.Since(before); took != 0 {
			t.Errorf("the PUT went on for %v", took)
		}
		if _, ok := p.Status(id); ok {
			t.Error("a dropped VMM has a status")
		}
		time.Sleep(48 * time.Hour)
		if got := f.gens(); !slices.Equal(got, []uint64{1}) || len(res.list()) != 0 {
			t.Errorf("after Drop: sent %v, notified %+v", got, res.list())
		}
		<-p.Idle(id)
	})
}

func TestDropOfWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(503))
		p := start(t, f, nil)
		var res results
		id := uuid.New()
		p.Offer(id, destroyed(1), res.notify)
		synctest.Wait()
		p.Drop(id)
		p.Drop(id)
		p.Drop(uuid.New())
		time.Sleep(48 * time.Hour)
		if got := f.gens(); len(got) != 1 || len(res.list()) != 0 {
			t.Errorf("after Drop: sent %v, notified %+v", got, res.list())
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.slots)+len(p.due)+p.deadlines.Len()+p.over.Len() != 0 {
			t.Error("something of the dropped VMM is left")
		}
	})
}

func TestOfferAfterDropStartsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(c call) reply { return reply{status: 204, hang: c.gen == 9} })
		p := start(t, f, nil)
		var res results
		id := uuid.New()
		p.Offer(id, running(9), res.notify)
		synctest.Wait()
		p.Drop(id)
		p.Offer(id, running(1), res.notify) // the round of the old one may still be ending
		synctest.Wait()
		if got := res.one(t); got.Gen != 1 || !got.Acked {
			t.Errorf("result is %+v", got)
		}
		if got := f.gens(); !slices.Equal(got, []uint64{9, 1}) {
			t.Errorf("sent %v", got)
		}
	})
}

func TestCloseCancelsAndSilences(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{hang: true} })
		p := start(t, f, nil)
		var res results
		for range 40 {
			p.Offer(uuid.New(), destroyed(1), res.notify)
		}
		synctest.Wait()
		before := time.Now()
		closeNow(t, p)
		if took := time.Since(before); took != 0 {
			t.Errorf("Close took %v", took)
		}
		p.Offer(uuid.New(), destroyed(1), res.notify)
		time.Sleep(48 * time.Hour)
		if calls, _ := f.told(); len(calls) != 16 || len(res.list()) != 0 {
			t.Errorf("%d PUTs, notified %+v", len(calls), res.list())
		}
	})
}

func TestCloseDoesNotWaitLongerThanItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, newFake(t, always(204)), nil)
		release := make(chan struct{})
		p.Offer(uuid.New(), running(1), func(Result) { <-release })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.Close(ctx); err == nil {
			t.Error("Close did not tell that a notify was still running")
		}
		close(release)
	})
}

func TestStandalone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(204))
		p := start(t, f, func(c *Config) { c.Addresses = nil })
		var alive, ended results
		a, b := uuid.New(), uuid.New()
		p.Offer(a, running(1), alive.notify)
		p.Offer(b, running(1), ended.notify)
		p.Offer(b, destroyed(2), ended.notify)
		time.Sleep(24*time.Hour - time.Second)
		if len(ended.list()) != 0 {
			t.Fatal("given up too early")
		}
		time.Sleep(2 * time.Second)
		if got := ended.one(t); !got.GaveUp || got.Acked || got.Gen != 2 || got.Attempts != 0 || got.Err == nil {
			t.Errorf("result is %+v", got)
		}
		if len(alive.list()) != 0 || len(f.gens()) != 0 {
			t.Errorf("notified %+v, sent %v", alive.list(), f.gens())
		}
	})
}

func TestRecordThatCannotBeEncoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(204))
		p := start(t, f, nil)
		var res results
		id := uuid.New()
		for gen, r := range []vmm.Record{running(0), destroyed(1)} {
			r.VMM.Gen, r.VMM.Updated = uint64(gen), time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
			p.Offer(id, r, res.notify)
			synctest.Wait()
			if st, _ := p.Status(id); st.LastError == "" {
				t.Error("the status does not say why")
			}
		}
		if got := res.one(t); !got.GaveUp || got.Err == nil || got.Gen != 1 || len(f.gens()) != 0 {
			t.Errorf("result is %+v, sent %v", got, f.gens())
		}
	})
}

func TestVMMsThatEndedDoNotPileUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, newFake(t, always(204)), nil)
		const n = maxOver + 100
		first, last := uuid.New(), uuid.New()
		p.Offer(first, destroyed(1), nil)
		synctest.Wait()
		for range n - 2 {
			p.Offer(uuid.New(), destroyed(1), nil)
		}
		synctest.Wait()
		p.Offer(last, destroyed(1), nil)
		synctest.Wait()
		if _, ok := p.Status(first); ok || len(p.slots) != maxOver || p.over.Len() != maxOver {
			t.Errorf("%d slots are kept", len(p.slots))
		}
		if st, ok := p.Status(last); !ok || st.Acked != 1 {
			t.Errorf("status of the last is %+v, %v", st, ok)
		}
	})
}

func TestDefaultsAreThoseOfTheDocs(t *testing.T) {
	t.Parallel()
	c := Config{}.withDefaults()
	if c.RequestTimeout != 10*time.Second || c.RetryInitial != 250*time.Millisecond ||
		c.RetryMax != 30*time.Second || c.GiveUpAfter != 24*time.Hour || c.Concurrency != 16 {
		t.Errorf("defaults are %+v", c)
	}
	if tr := newClient(c).Transport.(*http.Transport); tr.Proxy != nil {
		t.Error("the transport uses a proxy")
	}
}
