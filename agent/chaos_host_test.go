package agent_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
)

// An incarnation is one process of the agent, with its view of the world. After it is
// killed it has no effects.
type incarnation struct {
	w      *world
	agent  *agent.Agent
	disk   *chaosJournal
	dead   atomic.Bool
	killed chan struct{}

	mu    sync.Mutex
	older []zone.Info // an earlier list
}

// chaosZones are the host's zones, with faults in any call.
type chaosZones struct{ *incarnation }

func (z chaosZones) Recall(name string, made zone.Made) { z.w.zones.Recall(name, made) }

// List is a hint: it may lack zones or states, or be outdated.
func (z chaosZones) List(ctx context.Context) ([]zone.Info, error) {
	f := z.w.fate("list", "")
	all, err := suffer(ctx, z.incarnation, f, z.w.zones.List)
	r := z.w.throw("list's answer")
	if sky := z.w.sky.Load(); err != nil || r.IntN(100) >= 5+sky.percent {
		return all, err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	kinds := []string{"half", "nothing", "unknown states", "without incarnations", "older"}
	kind := kinds[r.IntN(len(kinds))]
	z.w.sum.fault("list: " + kind)
	switch kind {
	case "half":
		return slices.DeleteFunc(all, func(zone.Info) bool { return r.IntN(2) == 0 }), nil
	case "nothing":
		return nil, nil
	case "older":
		all, z.older = z.older, all
		return all, nil
	}
	for i := range all {
		if kind == "unknown states" && r.IntN(2) == 0 {
			all[i].State = zone.Unknown
		} else if r.IntN(2) == 0 {
			all[i].Incarnation, all[i].PID = "", 0
		}
	}
	return all, nil
}

// Look is proof: it may fail, hang and be late, but its answer is true.
func (z chaosZones) Look(ctx context.Context, name string) (zone.Info, error) {
	f := z.w.fate("look", z.w.who(name))
	return suffer(ctx, z.incarnation, f, func(ctx context.Context) (zone.Info, error) { return z.w.zones.Look(ctx, name) })
}

// start returns the fault of a call that creates a zone. A permanent error may end the
// start; a hang is limited by the host.
func (z chaosZones) start(op, name string) fate {
	f := z.w.fate(op, z.w.who(name))
	if f.err == nil {
		return f
	}
	passes := errors.Is(f.err, zone.ErrBusy)
	for _, e := range transient {
		passes = passes || errors.Is(f.err, e)
	}
	if v := z.w.vm(name); v != nil && !passes {
		v.excuse("its start met " + f.err.Error())
	}
	return f
}

func (z chaosZones) Create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	f := z.start("create", spec.Name)
	return suffer(ctx, z.incarnation, f, func(ctx context.Context) (zone.Made, error) {
		if err := z.wait(ctx, rnd(z.w.throw("create takes "+z.w.who(spec.Name)), 15*time.Second)); err != nil {
			return zone.Made{}, err
		}
		made, err := z.w.zones.Create(ctx, spec)
		if f.kind == "cut short" && err == nil {
			z.w.zones.Put(spec.Name, zone.Incomplete)
		}
		return made, err
	})
}

func (z chaosZones) Boot(ctx context.Context, name string) error {
	return z.void(ctx, z.start("boot", name), name, z.w.zones.Boot)
}

func (z chaosZones) ServerFailed(ctx context.Context, name string) (string, error) {
	f := z.w.fate("server-failed", z.w.who(name))
	return suffer(ctx, z.incarnation, f, func(ctx context.Context) (string, error) { return z.w.zones.ServerFailed(ctx, name) })
}

func (z chaosZones) void(ctx context.Context, f fate, name string, do func(context.Context, string) error) error {
	_, err := suffer(ctx, z.incarnation, f, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx, name) })
	return err
}

// Remove is a step of a removal. A hanging one has done its work or never will: it does
// not affect a zone that was created later.
func (z chaosZones) Remove(ctx context.Context, rung zone.Rung, name string) error {
	if z.dead.Load() {
		return errKilled
	}
	op := string(rung)
	z.w.removes(op, name)
	f := z.w.fate(op, z.w.who(name))
	f.late = f.late && f.kind != "deaf"
	return z.void(ctx, f, name, func(ctx context.Context, name string) error { return z.w.zones.Remove(ctx, rung, name) })
}

func (z chaosZones) Tail(ctx context.Context, name string, most int) ([]byte, error) {
	f := z.w.fate("tail", z.w.who(name))
	return suffer(ctx, z.incarnation, f, func(ctx context.Context) ([]byte, error) { return z.w.zones.Tail(ctx, name, most) })
}

// Watch is a hint: it may be late, missing, or wrong.
func (z chaosZones) Watch(name string, ended func(zone.End)) (stop func()) {
	r := z.w.throw("watch " + z.w.who(name))
	deaf, delay := r.IntN(4) == 0, time.Duration(0)
	if r.IntN(4) == 0 {
		delay = rnd(r, time.Minute)
	}
	inner := z.w.zones.Watch(name, func(e zone.End) {
		if deaf {
			z.w.sum.fault("watch: nothing")
			return
		}
		if z.wait(context.Background(), delay) == nil {
			ended(e)
		}
	})
	stopped := make(chan struct{})
	if r.IntN(3) == 0 {
		go func() {
			select {
			case <-time.After(rnd(r, 10*time.Minute)):
				z.w.sum.fault("watch: a false end")
				ended(zone.End{How: "zone is gone"})
			case <-stopped:
			case <-z.killed:
			}
		}()
	}
	return sync.OnceFunc(func() { close(stopped); inner() })
}

// chaosPropolis is the agent's client of one server, over a faulty network.
type chaosPropolis struct {
	runner.Propolis
	l   *incarnation
	who string
}

func (l *incarnation) propolis(addr netip.AddrPort) runner.Propolis {
	return chaosPropolis{propolis.NewClient(addr, propolis.Options{Dial: l.dial}), l, addr.String()}
}

// call makes a call with its fault; its errors say nothing about the VM.
func (p chaosPropolis) call(ctx context.Context, op string, do func(context.Context) error) error {
	f := p.l.w.fate("propolis "+op, p.who)
	if f.err != nil {
		kinds := []propolis.Kind{propolis.NotConnected, propolis.Interrupted, propolis.Timeout, propolis.Malformed, propolis.Unavailable}
		r := p.l.w.throw("propolis error " + p.who)
		f.err = &propolis.Error{Op: op, Kind: kinds[r.IntN(len(kinds))], Err: f.err}
	}
	_, err := suffer(ctx, p.l, f, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

func (p chaosPropolis) Ready(ctx context.Context) error {
	return p.call(ctx, "ready", p.Propolis.Ready)
}

func (p chaosPropolis) Ensure(ctx context.Context, q propolis.EnsureRequest) error {
	return p.call(ctx, "ensure", func(ctx context.Context) error { return p.Propolis.Ensure(ctx, q) })
}

func (p chaosPropolis) Put(ctx context.Context, a propolis.Action, soft time.Duration) error {
	return p.call(ctx, "put "+string(a), func(ctx context.Context) error { return p.Propolis.Put(ctx, a, soft) })
}

func (p chaosPropolis) Instance(ctx context.Context) (id uuid.UUID, err error) {
	err = p.call(ctx, "instance", func(ctx context.Context) (err error) {
		id, err = p.Propolis.Instance(ctx)
		return err
	})
	if err != nil {
		return uuid.Nil, err
	}
	return id, nil
}

func (p chaosPropolis) Snapshot(ctx context.Context, disk string, id uuid.UUID) error {
	return p.call(ctx, "snapshot", func(ctx context.Context) error { return p.Propolis.Snapshot(ctx, disk, id) })
}

// Watch may return after its context has ended, and reports nothing then.
func (p chaosPropolis) Watch(ctx context.Context, from uint64, o propolis.WatchOptions, sink func(propolis.WatchEvent)) {
	p.Propolis.Watch(ctx, from, o, func(e propolis.WatchEvent) {
		if !p.l.dead.Load() {
			sink(e)
		}
	})
	if r := p.l.w.throw("watch's end " + p.who); r.IntN(4) == 0 {
		_ = p.l.wait(context.Background(), rnd(r, time.Minute))
	}
}

// chaosNexus is the agent's client of Nexus.
type chaosNexus struct {
	*publish.Client
	l *incarnation
}

func (n chaosNexus) Put(ctx context.Context, id uuid.UUID, rec vmm.Record) publish.Answer {
	v := n.l.w.vm(prefix + id.String())
	v.published(n.l.w)
	a, err := suffer(ctx, n.l, n.l.w.fate("nexus", v.key), func(ctx context.Context) (publish.Answer, error) {
		return n.Client.Put(ctx, id, rec), nil
	})
	if err != nil {
		return publish.Answer{Err: err}
	}
	if a.Verdict == publish.Unknown && rec.VMM.State.Terminal() {
		v.denied()
	}
	return a
}
