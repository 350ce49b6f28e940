package publish

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// TestAnswers is the table of the package's documentation: for each answer,
// how often a record is offered in an hour when GiveUpAfter is ten minutes.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const once, few, untilGiveUp, on = "once", "5 times", "until given up", "on and on"
	for _, c := range []struct {
		name              string
		reply             reply
		running, terminal string
	}{
		{"204", reply{status: 204}, once, once},
		{"timeout", reply{hang: true}, on, untilGiveUp},
		{"reset", reply{reset: true}, on, untilGiveUp},
		{"200", reply{status: 200, body: `{"ok":true}`}, on, untilGiveUp},
		{"202", reply{status: 202}, on, untilGiveUp},
		{"302", reply{status: 302}, on, untilGiveUp},
		{"307", reply{status: 307}, on, untilGiveUp},
		{"400", reply{status: 400}, once, untilGiveUp},
		{"403", reply{status: 403}, once, untilGiveUp},
		{"404", reply{status: 404}, once, few},
		{"408", reply{status: 408}, on, untilGiveUp},
		{"409", reply{status: 409}, once, untilGiveUp},
		{"410", reply{status: 410}, once, few},
		{"429", reply{status: 429}, on, untilGiveUp},
		{"500", reply{status: 500}, on, untilGiveUp},
		{"503", reply{status: 503}, on, untilGiveUp},
		{"600", reply{status: 600}, on, untilGiveUp},
	} {
		for _, gen := range []uint64{1, 2} {
			terminal, want := gen == 2, c.running
			if terminal {
				want = c.terminal
			}
			t.Run(fmt.Sprintf("%s/terminal=%v", c.name, terminal), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					calls, res := offerFor(t, c.reply, terminal, time.Hour)
					checkOffered(t, calls, want)
					if acked := c.reply.status == 204; acked != (len(res) == 1 && res[0].Acked) {
						t.Errorf("results are %+v", res)
					}
					if gaveUp := want == few || want == untilGiveUp; gaveUp != (len(res) == 1 && res[0].GaveUp && res[0].Err != nil) {
						t.Errorf("results are %+v", res)
					}
				})
			})
		}
	}
}

func offerFor(t *testing.T, r reply, terminal bool, d time.Duration) ([]call, []Result) {
	f := newFake(t, func(call) reply { return r })
	p := start(t, f, func(c *Config) { c.GiveUpAfter = 10 * time.Minute })
	var res results
	rec := running(1)
	if terminal {
		rec = destroyed(1)
	}
	p.Offer(uuid.New(), rec, res.notify)
	time.Sleep(d)
	synctest.Wait()
	calls, _ := f.told()
	return calls, res.list()
}

func checkOffered(t *testing.T, calls []call, want string) {
	t.Helper()
	n, span := len(calls), calls[len(calls)-1].at.Sub(calls[0].at)
	ok := map[string]bool{
		"once":           n == 1,
		"5 times":        n == 5 && span > time.Second && span < time.Minute,
		"until given up": n > 10 && span > 9*time.Minute && span < 10*time.Minute,
		"on and on":      n > 60 && span > 58*time.Minute,
	}[want]
	if !ok {
		t.Errorf("offered %d times over %v, want %s", n, span, want)
	}
	for i := 1; i < n; i++ {
		if pause := calls[i].at.Sub(calls[i-1].at); pause > 40*time.Second || pause < 100*time.Millisecond {
			t.Errorf("pause %d is %v", i, pause)
		}
	}
}

func TestGiveUpIsPunctualDuringAHungPUT(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{hang: true} })
		p := start(t, f, func(c *Config) { c.RequestTimeout, c.GiveUpAfter = time.Hour, time.Minute })
		var res results
		for range 200 { // many more than fit: those that wait are given up as well
			p.Offer(uuid.New(), destroyed(1), res.notify)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(res.list()); n != 200 {
			t.Errorf("%d of 200 were given up in time", n)
		}
		if st := p.Stats(); st.GaveUp != 200 || st.InFlight != 0 || st.Waiting != 0 {
			t.Errorf("stats are %+v", st)
		}
	})
}

// A queue full of running records that Nexus leaves hanging does not keep a
// terminal one from being given up in time.
func TestGiveUpOvertakesTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, func(call) reply { return reply{hang: true} })
		p := start(t, f, func(c *Config) { c.GiveUpAfter = time.Minute })
		for range 1000 {
			p.Offer(uuid.New(), running(1), nil)
		}
		var res results
		p.Offer(uuid.New(), destroyed(1), res.notify)
		time.Sleep(time.Minute + 11*time.Second) // a place is free after one RequestTimeout
		if got := res.one(t); !got.GaveUp || got.Attempts != 0 {
			t.Errorf("result is %+v", got)
		}
	})
}

func TestBackoffBeginsAnewAfterAnAcknowledgement(t *testing.T) {
	bubble(t, func(t *testing.T) {
		status := 503
		f := newFake(t, func(call) reply { return reply{status: status} })
		p := start(t, f, nil)
		id := uuid.New()
		for gen, s := range []int{503, 204, 503, 204} {
			f.mu.Lock()
			status = s
			f.mu.Unlock()
			p.Offer(id, running(uint64(gen)), nil)
			time.Sleep([]time.Duration{10 * time.Minute, time.Minute, time.Second, 5 * time.Second}[gen])
		}
		if st, _ := p.Status(id); st.Acked != 3 {
			t.Errorf("seconds after a short trouble: %+v", st)
		}
	})
}

func TestNewerRecordDoesNotDefeatTheBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		status := 503
		f := newFake(t, func(call) reply { return reply{status: status} })
		p := start(t, f, nil)
		id := uuid.New()
		gen := uint64(0)
		for range 10 * 60 {
			gen++
			p.Offer(id, running(gen), nil)
			time.Sleep(time.Second)
		}
		if n := len(f.gens()); n < 15 || n > 80 {
			t.Errorf("%d PUTs in ten minutes of outage", n)
		}
		if got := f.gens(); !slices.IsSorted(got) {
			t.Errorf("sent generations %v", got)
		}
		f.mu.Lock()
		status = 204
		f.mu.Unlock()
		time.Sleep(31 * time.Second)
		for range 20 { // the last try succeeded: no pause at all
			gen++
			p.Offer(id, running(gen), nil)
			synctest.Wait()
			if st, _ := p.Status(id); st.Acked != gen {
				t.Fatalf("status is %+v, want %d acknowledged at once", st, gen)
			}
		}
	})
}

func TestRefusedRunningRecordsDoNotLoopHot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t, always(400))
		p := start(t, f, nil)
		id := uuid.New()
		for gen := range uint64(1000) {
			p.Offer(id, running(gen), nil)
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(f.gens()); n > 12 {
			t.Errorf("%d PUTs in ten seconds", n)
		}
	})
}

func TestStatusSaysWhatIsWrong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		answers := reply{status: 503, body: strings.Repeat("\xff", 1<<20)}
		f := newFake(t, func(call) reply { return answers })
		p := start(t, f, nil)
		id := uuid.New()
		p.Offer(id, running(7), nil)
		synctest.Wait()
		st, _ := p.Status(id)
		want := "PUT " + nexus1 + "/vmms/" + id.String() + ": 503 Service Unavailable"
		if st.Gen != 7 || st.Acked != 0 || st.Attempts != 1 || st.LastError != want {
			t.Errorf("status is %+v, want error %s", st, want)
		}
		f.mu.Lock()
		answers = reply{hang: true}
		f.mu.Unlock()
		time.Sleep(30 * time.Second)
		st, _ = p.Status(id)
		if want := "no answer within 10s"; !strings.Contains(st.LastError, want) || st.Attempts < 2 {
			t.Errorf("status is %+v, want error %q", st, want)
		}
		f.mu.Lock()
		answers = reply{status: 204}
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if st, _ = p.Status(id); st.LastError != "" || st.Acked != 7 {
			t.Errorf("status is %+v after the acknowledgement", st)
		}
	})
}

func TestRefusedRecordTurnsToTheOtherReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, status := range []int{200, 400, 404, 429} {
			f := newFake(t, func(c call) reply {
				if c.base == nexus1 {
					return reply{status: status}
				}
				return reply{status: 204}
			})
			p := start(t, f, func(c *Config) { c.Addresses = []string{nexus1 + "/", nexus2} })
			var res results
			p.Offer(uuid.New(), destroyed(1), res.notify)
			time.Sleep(2 * time.Second)
			if got := res.one(t); !got.Acked || got.Attempts != 2 {
				t.Errorf("%d from the first replica: %+v", status, got)
			}
		}
	})
}

func TestLogsTellOfChangesOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log, lines := logTo()
		status := 503
		f := newFake(t, func(call) reply { return reply{status: status} })
		p := start(t, f, func(c *Config) { c.Log, c.GiveUpAfter = log, 2*time.Hour })
		set := func(to int, d time.Duration) {
			f.mu.Lock()
			status = to
			f.mu.Unlock()
			time.Sleep(d)
		}
		for range 20 {
			p.Offer(uuid.New(), destroyed(1), nil)
		}
		set(503, time.Hour)
		set(204, time.Minute)
		p.Offer(uuid.New(), destroyed(1), nil)
		synctest.Wait()
		if got := lines(); len(got) != 2 || !strings.Contains(got[0], "503") || !strings.Contains(got[1], "again") {
			t.Errorf("logged of an outage:\n%s", strings.Join(got, "\n"))
		}
		set(409, time.Minute)
		p.Offer(uuid.New(), running(1), nil)
		p.Offer(uuid.New(), destroyed(1), nil)
		set(409, 3*time.Hour)
		got := lines()[2:]
		count := map[string]int{}
		for _, line := range got {
			for _, what := range []string{"it is dropped", "it is offered again", `"level":"error"`} {
				if strings.Contains(line, what) && strings.Contains(line, "409") {
					count[what]++
				}
			}
		}
		if len(got) != 3 || len(count) != 3 {
			t.Errorf("logged of refused records:\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestFlappingNexusFillsNoLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log, lines := logTo()
		n := 0
		f := newFake(t, func(call) reply { n++; return reply{status: []int{204, 503}[n%2]} })
		p := start(t, f, func(c *Config) { c.Log = log })
		for range 600 {
			p.Offer(uuid.New(), destroyed(1), nil)
			time.Sleep(100 * time.Millisecond)
		}
		if got := len(lines()); got < 2 || got > 8 {
			t.Errorf("%d lines in a minute", got)
		}
	})
}
