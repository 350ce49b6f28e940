package agent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errKilled is the result of every call of a killed agent, which has no effect.
var errKilled = errors.New("this agent was killed")

// A weather is a rate of faults.
type weather struct {
	name string
	// percent of the calls fail; deaf is set if some ignore their context.
	percent int
	deaf    bool
	// errno, if set, is the error of every call.
	errno syscall.Errno
	least time.Duration
	most  time.Duration
}

// Bad weather is shorter than a start, and good weather is long enough for one, so that
// no deadline of a start or a reboot justifies an end.
var (
	fair = weather{name: "fair", percent: 2, least: 2 * time.Minute, most: 8 * time.Minute}
	foul = []weather{
		{name: "rough", percent: 20, deaf: true, least: time.Minute, most: 4 * time.Minute},
		{name: "storm", percent: 60, deaf: true, least: 20 * time.Second, most: 2 * time.Minute},
		{name: "no descriptors", errno: syscall.EMFILE, least: 5 * time.Second, most: 90 * time.Second},
		{name: "no memory", errno: syscall.ENOMEM, least: 5 * time.Second, most: 90 * time.Second},
	}
)

func (w weather) lasts(r *rand.Rand) time.Duration { return w.least + rnd(r, w.most-w.least) }

// maxHang is the maximum duration of a hanging call.
const maxHang = 3 * time.Minute

// A fate is the fault of one call.
type fate struct {
	kind string
	wait time.Duration
	err  error
	// late is set if the call works at the end of its wait, not before it.
	late bool
}

var transient = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ENOBUFS}

// fate chooses the fault of a call about a VMM, and counts it.
func (w *world) fate(op, who string) fate {
	r := w.throw(op + " " + who)
	sky := *w.sky.Load()
	w.sum.calls.Add(1)
	f := fate{late: r.IntN(2) == 0}
	switch {
	case sky.errno != 0:
		f.kind, f.err = "error", sky.errno
	case r.IntN(100) >= sky.percent:
		return fate{}
	default:
		f.kind, f.wait = w.trouble(r, sky)
		f.err = []error{syscall.EIO, transient[r.IntN(len(transient))], errors.New("connection unreachable")}[r.IntN(3)]
	}
	w.sum.fault(op + ": " + f.kind)
	f.err = fmt.Errorf("%s %s: %w", op, who, f.err)
	return f
}

func (w *world) trouble(r *rand.Rand, sky weather) (kind string, wait time.Duration) {
	kinds := []string{"error", "cut short", "late", "hang"}
	if sky.deaf {
		kinds = append(kinds, "deaf")
	}
	switch kind = kinds[r.IntN(len(kinds))]; kind {
	case "late":
		wait = rnd(r, 6*time.Second)
	case "hang":
		wait = maxHang
	case "deaf":
		wait = rnd(r, maxHang)
	}
	return kind, wait
}

// suffer makes a call with its fault. A truncated call has its effect and fails; a deaf
// one ignores its context; a late one returns what is true at some moment during the
// call.
func suffer[T any](ctx context.Context, l *incarnation, f fate, do func(context.Context) (T, error)) (T, error) {
	var none T
	act := func() (T, error) {
		if l.dead.Load() {
			return none, errKilled
		}
		return do(context.WithoutCancel(ctx))
	}
	switch f.kind {
	case "":
		if l.dead.Load() {
			return none, errKilled
		}
		return do(ctx)
	case "cut short":
		if _, err := act(); err != nil {
			return none, err
		}
		return none, f.err
	case "late", "deaf":
		heed := ctx
		if f.kind == "deaf" {
			heed = context.Background()
		}
		if f.late {
			if err := l.wait(heed, f.wait); err != nil {
				return none, err
			}
			return act()
		}
		v, err := act()
		if gone := l.wait(heed, f.wait); gone != nil {
			return none, gone
		}
		return v, err
	case "hang":
		if err := l.wait(ctx, f.wait); err != nil {
			return none, err
		}
	}
	return none, f.err
}

// wait waits until d has passed, ctx ends or the agent is killed.
func (l *incarnation) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.killed:
		return errKilled
	}
}

// dial is the network of the agent's host.
func (l *incarnation) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	r := l.w.throw("dial " + addr)
	l.w.sum.calls.Add(1)
	failed := func(err error) (net.Conn, error) {
		l.w.sum.fault("dial: " + err.Error())
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	sky := *l.w.sky.Load()
	switch {
	case l.dead.Load():
		return nil, errKilled
	case sky.errno != 0:
		return failed(sky.errno)
	case l.w.refusing.Load():
		return failed(syscall.ECONNREFUSED)
	case r.IntN(100) < sky.percent/2:
		errs := []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ETIMEDOUT, syscall.EACCES,
			syscall.EMFILE, syscall.EADDRNOTAVAIL}
		return failed(errs[r.IntN(len(errs))])
	}
	c, err := l.w.net.dial(ctx, network, addr)
	if err == nil && r.IntN(100) < sky.percent/2 {
		l.w.sum.fault("dial: cut later")
		cut := time.AfterFunc(rnd(r, 20*time.Second), func() { _ = c.Close() })
		return cutConn{c, cut}, nil
	}
	return c, err
}

type cutConn struct {
	net.Conn
	cut *time.Timer
}

func (c cutConn) Close() error {
	c.cut.Stop()
	return c.Conn.Close()
}

func (w *world) changeSky(r *rand.Rand, end <-chan struct{}) {
	now := &foul[r.IntN(len(foul))]
	w.sky.Store(now)
	pauseFor(now.lasts(r), end)
	w.sky.Store(&fair)
	pauseFor(fair.lasts(r), end)
}

// troubleNexus makes Nexus fail for less time than after which its denial of a VMM is
// accepted.
func (w *world) troubleNexus(r *rand.Rand, end <-chan struct{}) {
	kinds := []string{"silent", "status=503", "status=500", "status=404", "status=410", "page=404", "page=502", "empty=410",
		"garbage", "half", "lost-answer", "reset", "hang-body", "trickle", "delay=5s", "fail-percent=50", "status=400", "status=429"}
	kind := kinds[r.IntN(len(kinds))]
	w.sum.fault("nexus: " + kind)
	w.nexusFault(kind)
	pauseFor(rnd(r, 4*time.Minute), end)
	w.nexusFault()
}

func (w *world) troubleDisk(r *rand.Rand, end <-chan struct{}) {
	mode := diskFails + r.IntN(2)
	w.sum.fault([]string{"", "disk: fails", "disk: hangs"}[mode])
	w.state.Lock()
	l := w.now
	w.state.Unlock()
	if l == nil {
		return
	}
	l.disk.turn(mode)
	pauseFor(rnd(r, 90*time.Second), end)
	if r.IntN(3) == 0 {
		w.restart(r) // with what is on disk
	}
	l.disk.turn(diskWorks)
}

// refuse refuses connections, for less time than after which a server counts as dead.
func (w *world) refuse(r *rand.Rand, end <-chan struct{}) {
	w.refusing.Store(true)
	pauseFor(rnd(r, 30*time.Second), end)
	w.refusing.Store(false)
	pauseFor(2*time.Minute, end)
}

// tally counts events of the test.
type tally struct {
	calls, failed, vmms, kills, reboots, lost atomic.Int64
	lived                                     atomic.Int64 // nanoseconds over all VMMs
	mu                                        sync.Mutex
	faults, ends                              map[string]int
}

func (t *tally) fault(kind string) {
	t.failed.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults[kind]++
}

func (t *tally) end(how string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends[how]++
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := fmt.Sprintf("%d VMMs lived %.1f hours; %d calls, of which %d met a fault; %d kills of the agent, %d of them reboots of the host, "+
		"in which %d states were lost that the disk had refused", t.vmms.Load(), time.Duration(t.lived.Load()).Hours(), t.calls.Load(),
		t.failed.Load(), t.kills.Load(), t.reboots.Load(), t.lost.Load())
	for name, m := range map[string]map[string]int{"fault": t.faults, "end": t.ends} {
		kinds := []string{}
		for k := range m {
			kinds = append(kinds, k)
		}
		slices.Sort(kinds)
		for _, k := range kinds {
			s += fmt.Sprintf("\n%s %-40s %d", name, k, m[k])
		}
	}
	return s
}
