package runner

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
)

// check records a broken rule. w.mu is held.
func (w *world) check(holds bool, format string, args ...any) {
	if !holds {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
	}
}

// judge returns what the last move has broken, if anything.
func (w *world) judge() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		w.check(w.zone == zone.Absent, "it is forgotten, and its zone is %s", w.zone)
		w.check(!w.calling("Create", "Boot", "Release"), "it is forgotten, and a start or a removal is under way")
		unreported := len(slices.DeleteFunc(slices.Clone(w.calls), func(c *call) bool { return !byWatchdog(c) }))
		w.check(w.guard.Stats().Removing+w.guard.Stats().Armed <= unreported, "it is forgotten, and the watchdog is not done with it")
	} else {
		w.check(!w.calling("Release") || !w.calling("Ensure", "Put Run", "Put Stop", "Put Reboot", "Watch"),
			"its removal is under way, and Propolis is still asked")
		w.judgeEnd()
		w.judgeStart()
		w.judgeSaved()
	}
	if w.broken == nil {
		return nil
	}
	return errors.New(strings.Join(w.broken, "; "))
}

// calling reports whether one of these calls is in progress.
func (w *world) calling(names ...string) bool {
	return slices.ContainsFunc(w.calls, func(c *call) bool { return slices.Contains(names, c.name) })
}

// judgeEnd: an accepted stop ends by its deadline, as destroyed.
func (w *world) judgeEnd() {
	s, guard := w.run.state, w.guard.Stats()
	if !w.stopped {
		return
	}
	if s.Phase >= vmm.Ended {
		w.check(s.Record.VMM.State == vmm.WireDestroyed, "a stop was accepted, and it ended %s", s.Record.VMM.State)
		return
	}
	waits := len(w.run.pending) > 0 // for the disk, so it is not accepted yet
	w.check(waits || guard.Armed+guard.Removing > 0 || w.calling("zone Kill") || slices.ContainsFunc(w.calls, byWatchdog), "a pending stop has neither a deadline nor a removal")
	begun := w.begun
	if begun.IsZero() {
		begun = time.Now()
	}
	w.check(!begun.After(w.stopAt.Add(100*time.Millisecond)), "its removal has not begun %s after it was due", begun.Sub(w.stopAt))
}

// judgeStart: a start needs a durable record; a reboot loses nothing of it.
func (w *world) judgeStart() {
	s := w.run.state
	if s.Phase == vmm.Registered {
		w.check(!w.calling("Create", "Boot"), "a zone is being made of a VMM that was not started")
		w.check(w.guard.Stats().Armed == 0, "a VMM that was not started has a deadline")
	}
	for _, a := range w.asked {
		switch {
		case a.in.Kind() == vmm.KindStart && a.done && !a.seen && a.err == nil && a.phase == vmm.Registered:
			w.check(w.disk != nil && w.disk.State.Phase >= vmm.Booting, "a start was accepted that is not on disk")
		case a.in.Kind() == vmm.KindReboot && !a.ran:
			w.check(len(w.run.pending) > 0 || a.done && a.err != nil, "a reboot was accepted before it has run")
		}
		a.seen = a.done
	}
	w.check(w.ran || !w.calling("Put Reboot"), "Propolis is asked to reboot what has not run")
	asks, last := w.calling("Put Run"), w.path[len(w.path)-1]
	w.check(asks || !w.asksRun || w.cause != "" || w.stopped || strings.HasPrefix(last, "Put Run"),
		"%s has ended the asking to run", last)
	w.asksRun = asks
}

// judgeSaved: nothing is visible before it is durable, unless degraded is shown, and
// degraded is shown for no other reason.
func (w *world) judgeSaved() {
	v := w.run.view.Load()
	if v == nil {
		return
	}
	w.check(w.disk != nil, "it is visible, and its registration is not on disk")
	visible := len(w.saves) - 1
	for _, b := range w.run.pending {
		if !b.unchanged {
			visible--
		}
	}
	for visible >= 0 && w.saves[visible].State != v.state.Kept() {
		visible-- // a start that was refused was never visible
	}
	// Status takes the lock.
	w.mu.Unlock()
	degraded := w.run.Status(false).Degraded
	w.mu.Lock()
	same := w.writing != nil && w.writing.since == v.unsaved // what waits may be the next, of the same moment
	w.check(degraded != "" == (visible > w.onDisk) || same, "degraded is %q; visible is save %d, on disk is %d", degraded, visible, w.onDisk)
	w.check(v.state.Phase != vmm.Stopping || !w.calling("Put Run", "Put Reboot"), "it is stopping, and Propolis is asked for something else")
	w.check(!v.state.Disowned || w.offers == 0, "it is being published after an unregister")
}

// settle continues without further faults until nothing is left: a started VM runs, an
// unanswered stop ends by its deadline, and at once if the host reports that the server is
// dead.
func (w *world) settle() error {
	deaf := w.stopped // Propolis does not answer any more
	began := time.Now()
	hopeless := w.stopped && !w.serves && w.zone == zone.Running && w.run.state.Phase == vmm.Stopping &&
		w.run.state.Stop.Acked.IsZero() && !w.accepted[propolis.Stop] && w.begun.IsZero() && w.failing == nil && time.Until(w.stopAt) > 4*tick
	if err := w.goOn(deaf, 4, tick); err != nil {
		return err
	}
	s := w.run.state
	if hopeless && (w.begun.IsZero() || w.begun.Sub(began) > 3*tick) {
		return fmt.Errorf("the server is dead, and the stop's removal has not begun")
	}
	if !w.over && !w.stopped && w.cause == "" && (s.Phase > vmm.Registered && s.Propolis.State != vmm.PropolisRunning) {
		return fmt.Errorf("it was started and does not run: %s, %q", s.Phase, s.Propolis.State)
	}
	if !w.over && !w.stopped {
		w.ask(vmm.Stop{By: vmm.ByNexus})
		synctest.Wait()
	}
	if err := w.goOn(true, 8, modelLimits.StopGrace+tick); err != nil {
		return err
	}
	if !w.over {
		return fmt.Errorf("it stays %s", w.run.state.Phase)
	}
	if w.disk != nil {
		return errors.New("it is forgotten, but still on disk")
	}
	for _, a := range w.asked {
		if !a.done {
			return fmt.Errorf("%s was never answered", a.in.Kind())
		}
	}
	return nil
}

// goOn lets all calls succeed, except those that a deaf Propolis does not answer, and then
// lets time pass, the given number of times.
func (w *world) goOn(deaf bool, times int, each time.Duration) error {
	for range times {
		for range 100 {
			all := w.moves()
			i := slices.IndexFunc(all, func(m move) bool {
				switch m.class {
				case "disk":
					return true
				case "works":
					return !deaf || m.name != "Watch" && (!w.serves || !strings.HasPrefix(m.name, "Put"))
				}
				return false
			})
			if i < 0 {
				break
			}
			if err := w.take(all[i]); err != nil {
				return err
			}
		}
		if w.over {
			return nil
		}
		w.path = append(w.path, each.String())
		w.pass(each)
		if err := w.judge(); err != nil {
			return err
		}
	}
	return nil
}

// key identifies a world, without counters and times: from two worlds with the same key the
// same can happen, with the same effect.
func (w *world) key() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	put := func(parts ...any) { fmt.Fprintln(&b, parts...) }
	for _, n := range slices.Sorted(maps.Keys(w.left)) {
		put(n, w.left[n])
	}
	put(w.zone, w.serves, w.vm, w.ran, w.stopped, w.cause != "", w.over, w.failing != nil, w.ended != nil)
	if w.disk != nil {
		put("disk", keyOf(w.disk.State))
	}
	for _, c := range []*change{w.writing, w.next} {
		if c != nil {
			put("writes", c.entry != nil, c.index-w.onDisk, len(c.waiting), c.again, time.Since(c.since) > durableBudget)
		}
	}
	for _, a := range w.asked {
		put(a.in.Kind(), a.phase, a.done, a.err)
	}
	var calls []string
	for _, c := range w.calls {
		calls = append(calls, fmt.Sprint(c.name, c.news == nil || c.news()))
	}
	slices.Sort(calls)
	put(calls, w.accepted, w.begun.IsZero(), w.stopped && w.begun.IsZero(), time.Until(w.stopAt).Round(time.Second))
	if w.isDead() {
		return b.String()
	}
	r, guard := w.run, w.guard.Stats()
	put(keyOf(r.state), len(r.pending), slices.Sorted(maps.Keys(r.under)), r.again.Load(), r.stuck.Load(), guard.Armed, guard.Removing)
	for as, held := range r.held {
		put(as, len(held))
	}
	if v := r.view.Load(); v != nil {
		put(v.state.Phase, !v.unsaved.IsZero(), v.state.Record.VMM.Gen-r.state.Record.VMM.Gen, v.state.Kept() == r.state.Kept())
	}
	return b.String()
}

func keyOf(s vmm.State) string {
	f := s.Flux
	stop := ""
	if s.Stop != nil {
		stop = fmt.Sprint(s.Stop.Asked, s.Stop.Acked.IsZero())
	}
	return fmt.Sprint(s.Phase, s.Record.VMM.State, s.Record.VMM.Gen-s.Acked, s.Armed.For, time.Until(s.Armed.At).Round(time.Second),
		s.Outcome, stop, s.Disowned, s.Propolis.State, s.Rebooting, f.Starting, f.Removal, f.Gone, f.Settled,
		f.Offer.UnderWay, f.Offer.Tries, f.Zone.Since.IsZero(), f.Server.Since.IsZero())
}
