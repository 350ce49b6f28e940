package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/meter"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/watchdog"
	"github.com/sledagent/sledagent/zone"
)

var (
	theVMM       = uuid.MustParse("c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71")
	registration = wiretest.Registration(wire.BodyOptions{})
	modelLimits  = vmm.Limits{StopGrace: 30 * time.Second, MaxStopGrace: time.Hour, StartTimeout: time.Minute,
		RebootTimeout: 45 * time.Second, RetryInitial: time.Second, RetryMax: 2 * time.Second, GiveUpAfter: 24 * time.Hour}
)

const (
	shortGrace = 5 * time.Second
	// tick is longer than the loop's wait for the journal and every first and second
	// retry pause, and shorter than every budget.
	tick = 4 * time.Second
)

// A world is the surroundings of a Runner and what is known of it. mu guards the fakes'
// fields; the test reads them when all goroutines are blocked.
type world struct {
	*process
	mu    sync.Mutex
	calls []*call
	slow  bool // every step of a removal waits for the test
	path  []string
	left  map[string]int // remaining moves of each class

	zone   zone.State
	boots  int
	serves bool
	vm     propolis.State
	gen    uint64

	saves         []kept
	disk          *ledger.Entry
	onDisk        int // the newest of saves on disk
	writing, next *change
	failing       error
	offered       vmm.Runtime

	asked []*asked
	// stopped is set while an accepted stop is known to the Runner or the disk; stopAt
	// is when its removal must have begun. cause is what has ended the VMM or may end it,
	// and ran is set once it was reported as running.
	stopped bool
	stopAt  time.Time
	cause   string
	ran     bool
	over    bool // nothing is left of the VMM
	stands  chan struct{}
	asksRun bool
	broken  []string
}

// A process is one run of the agent.
type process struct {
	*world
	run      *Runner
	guard    *watchdog.Guard
	end      context.CancelFunc
	dead     chan struct{}
	made     chan struct{} // closed when run is set
	since    time.Time
	begun    time.Time // when it first began a removal
	watches  int
	ended    func(zone.End)
	offers   int
	accepted map[propolis.Action]bool
	wrote    bool        // something to disk
	before   vmm.Runtime // the newest record offered by an earlier one
}

type asked struct {
	in    vmm.Input
	phase vmm.Phase
	done  bool
	seen  bool // its answer was checked
	ran   bool // the VM had run then
	err   error
}

func newWorld(left map[string]int) *world {
	w := &world{zone: zone.Absent, left: left, onDisk: -1}
	w.begin()
	return w
}

// begin starts a process with the contents of the disk.
func (w *world) begin() {
	p := &process{world: w, guard: watchdog.New(zerolog.Nop()), dead: make(chan struct{}), made: make(chan struct{}),
		since: time.Now(), before: w.offered, accepted: map[propolis.Action]bool{}}
	w.mu.Lock()
	w.process = p
	w.mu.Unlock()
	life, end := context.WithCancel(context.WithValue(context.Background(), ofEffect{}, true))
	p.end = end
	var none atomic.Int64
	h := &Host{Life: life, Meter: meter.New(), Zones: zones{p}, Guard: p.guard, Nexus: nexus{p}, Journal: journal{p},
		Propolis: func(netip.AddrPort) Propolis { return server{p} },
		Starts:   watchdog.NewGate(1), Heavy: watchdog.NewGate(1), Prefix: "z",
		Claim: func(netip.AddrPort, uuid.UUID) error { return nil }, Unclaim: func(netip.AddrPort, uuid.UUID) {},
		Event: w.event, Left: func(uuid.UUID) { p.do(func() { p.over = true }) },
		Sled:      func() propolis.Metadata { return propolis.Metadata{} },
		Abandoned: &none, Unsure: &none, GaveUp: &none, Log: zerolog.Nop()}
	h.Settings.Set(modelLimits, time.Second)
	p.guard.Add(theVMM.String(), target{p}) // the Runner's own does not replace it
	if w.disk == nil {
		p.run = New(h, theVMM, registration)
	} else {
		p.run = Adopt(h, ledger.Loaded{ID: theVMM, Entry: *w.disk})
	}
	close(p.made)
	synctest.Wait()
}

// event blocks the loop while the test requires it.
func (w *world) event(_ uuid.UUID, e vmm.Event) {
	if e.Kind == "start" && w.stands != nil {
		<-w.stands
	}
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// die ends the process: nothing that it was doing has an effect.
func (w *world) die() {
	w.mu.Lock()
	close(w.dead)
	w.mu.Unlock()
	w.end()
	synctest.Wait()
	if err := w.guard.Close(context.Background()); err != nil {
		panic(err)
	}
	synctest.Wait()
}

// crash ends the process and begins another with the contents of the disk.
func (w *world) crash() {
	w.die()
	if !w.wrote {
		// The margin of generations is for one process that could write nothing, not for
		// two.
		w.offered = w.before
	}
	w.writing, w.next, w.failing, w.asked, w.asksRun = nil, nil, nil, nil, false
	w.saves = w.saves[:w.onDisk+1]
	if w.disk == nil {
		w.over = true
		return
	}
	s := w.disk.State
	passed := s.Armed.For != vmm.ForNothing && !s.Armed.At.After(time.Now())
	if ended := w.zone != zone.Running && s.Phase >= vmm.Ensuring; s.Phase < vmm.Removing && !passed && !ended {
		w.cause = ""
	}
	w.stopped = s.Stop != nil
	switch {
	case !w.stopped:
		w.stopAt = time.Time{}
	case s.Phase == vmm.Stopping && s.Armed.At.After(time.Now()):
		w.stopAt = s.Armed.At
	default:
		w.stopAt = time.Now().Add(durableBudget)
	}
	w.begin()
}

// byWatchdog reports whether a call is the watchdog's, which cannot fail.
func byWatchdog(c *call) bool {
	return strings.HasPrefix(c.name, "Expired") || strings.HasPrefix(c.name, "Gone")
}

// A move is the next step. The number of moves of its class is limited.
type move struct {
	name, class string
	do          func()
}

// moves lists what can happen, in a fixed order.
func (w *world) moves() (all []move) {
	w.mu.Lock()
	defer w.mu.Unlock()
	add := func(can bool, class, name string, do func()) {
		if n, bounded := w.left[class]; can && (n > 0 || !bounded) {
			all = append(all, move{name, class, do})
		}
	}
	calls := slices.Clone(w.calls)
	slices.SortStableFunc(calls, func(a, b *call) int { return strings.Compare(a.name, b.name) })
	for _, c := range calls {
		add(c.news == nil || c.news(), "works", c.name, func() { c.let <- works })
	}
	add(w.writing != nil, "disk", "disk", func() { w.written(nil) })
	if w.over {
		return all
	}
	for _, in := range []vmm.Input{vmm.Start{}, vmm.Stop{By: vmm.ByNexus}, vmm.Reboot{}, vmm.Unregister{}, vmm.Kill{}} {
		add(w.run.view.Load() != nil, in.Kind().String(), in.Kind().String(), func() { w.ask(in) })
	}
	short := shortGrace
	add(w.stopped, "repeat", "Stop sooner", func() { w.ask(vmm.Stop{By: vmm.ByNexus, Grace: &short}) })
	for _, c := range calls {
		add(!byWatchdog(c), "fails", c.name+" fails", func() { c.let <- fails })
		add(strings.HasPrefix(c.name, "Put") && w.serves, "fails", c.name+" is lost", func() { c.let <- lost })
	}
	add(w.writing != nil && len(w.writing.waiting) > 0, "fails", "disk fails", func() { w.written(errFake) })
	add(true, "time", "tick", func() { w.pass(tick) })
	if d := w.run.state.Armed; d.For != vmm.ForNothing {
		add(time.Until(d.At) > 0, "time", "deadline", func() { w.pass(time.Until(d.At) + time.Second) })
	}
	add(w.ended != nil, "hint", "hint", func() { go w.ended(zone.End{How: "a hint"}) })
	add(w.serves, "fact", "server dies", func() { w.do(func() { w.serves = false }) })
	add(w.zone == zone.Running, "fact", "zone ends", func() {
		w.do(func() { w.zone, w.serves, w.cause = zone.Installed, false, "its zone has ended" })
	})
	add(true, "crash", "crash", w.crash)
	add(w.writing != nil, "crash", "crash, written", func() {
		w.disk, w.onDisk = w.writing.entry, w.writing.index
		w.crash()
	})
	return all
}

// take makes a move and runs until all goroutines wait for the test or for time.
func (w *world) take(m move) error {
	w.path = append(w.path, m.name)
	if n, bounded := w.left[m.class]; bounded {
		w.left[m.class] = n - 1
	}
	m.do()
	synctest.Wait()
	w.sleep(time.Millisecond) // no two moves at the same time
	return w.judge()
}

// errLost: the move cannot be repeated, since retry pauses are random.
var errLost = errors.New("no such move")

// follow makes the moves with these names.
func (w *world) follow(names ...string) error {
	for _, name := range names {
		all := w.moves()
		i := slices.IndexFunc(all, func(m move) bool { return m.name == name })
		if i < 0 {
			return fmt.Errorf("%w: %s", errLost, name)
		}
		if err := w.take(all[i]); err != nil {
			return err
		}
	}
	return nil
}

// pass lets time pass. A deadline that passes ends the VMM.
func (w *world) pass(d time.Duration) {
	if at := w.run.state.Armed.At; w.run.state.Armed.For != vmm.ForNothing && time.Until(at) <= d {
		w.do(func() { w.cause = "a deadline has passed" })
	}
	w.sleep(d)
}

// sleep lets time pass with all its consequences. The empty report is for the race detector,
// which does not order a sleep with what other goroutines do then: the loop may write what
// the test has read.
func (w *world) sleep(d time.Duration) {
	if w.stands == nil {
		select {
		case w.run.reports <- report{}:
		case <-w.run.ended:
		}
	}
	time.Sleep(d)
	synctest.Wait()
}

// ask makes a request and records its expected result.
func (w *world) ask(in vmm.Input) {
	a := &asked{in: in, phase: w.run.state.Phase, ran: w.ran}
	w.asked = append(w.asked, a)
	stop, isStop := in.(vmm.Stop)
	ends := in.Kind() == vmm.KindKill || in.Kind() == vmm.KindUnregister || isStop && a.phase < vmm.Active
	if ends && a.phase < vmm.Removing {
		w.do(func() { w.cause = in.Kind().String() })
	}
	if (isStop || in.Kind() == vmm.KindKill) && a.phase < vmm.Ended {
		at := time.Now().Add(durableBudget) // the maximum wait for the disk
		if isStop && !ends && a.phase < vmm.Removing {
			at = time.Now().Add(modelLimits.StopGrace)
			if stop.Grace != nil {
				at = time.Now().Add(*stop.Grace)
			}
		}
		if !w.stopped || at.Before(w.stopAt) {
			w.stopAt = at
		}
		w.stopped = true
	}
	go func() {
		_, err := w.run.Do(context.Background(), in)
		w.mu.Lock()
		defer w.mu.Unlock()
		a.done, a.err = true, err
	}()
}
