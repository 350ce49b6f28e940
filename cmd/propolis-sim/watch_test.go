package main

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis"
)

// client returns the agent's client for the process.
func (p *process) client() *propolis.Client {
	p.t.Helper()
	return propolis.NewClient(netip.MustParseAddrPort(strings.TrimPrefix(p.base, "http://")),
		propolis.Options{RequestTimeout: waitLimit / 100})
}

// A watch keeps only one monitor call pending in the server, regardless of the number
// of heartbeats. The server does not end calls whose client has disconnected.
func TestWatchesLeaveNothing(t *testing.T) {
	t.Parallel()
	const watches, heartbeats = 5, 200
	p := launch(t)
	p.want(201, "PUT", "/instance", spec)
	p.want(204, "PUT", "/instance/state", `"Run"`)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	c := p.client()
	for range watches {
		all.Go(func() {
			c.Watch(ctx, 0, propolis.WatchOptions{Heartbeat: 5 * time.Millisecond}, func(propolis.WatchEvent) {})
		})
	}
	for s := p.status(); s.Calls["monitor"] < watches*heartbeats; s = p.status() {
		if s.Monitors > 2*watches {
			t.Fatalf("%d calls of the monitor are under way for %d watches, after %d", s.Monitors, watches, s.Calls["monitor"])
		}
	}
	// A heartbeat may be pending for each of them, but not always for all.
	for end := time.Now().Add(waitLimit); p.status().Monitors != watches; {
		if time.Now().After(end) {
			t.Fatalf("%d calls of the monitor are under way for %d watches", p.status().Monitors, watches)
		}
	}
}

// The poll of a server that has lost its state waits for a generation that will not
// come. Heartbeats show the state that the server reports now.
func TestWatchSeesItFallBack(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.want(201, "PUT", "/instance", spec)
	p.want(204, "PUT", "/instance/state", `"Run"`)
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	var last propolis.Observation
	p.client().Watch(ctx, 0, propolis.WatchOptions{Heartbeat: 5 * time.Millisecond}, func(e propolis.WatchEvent) {
		switch {
		case e.Observation == nil:
			t.Errorf("event %+v", e)
		case e.Observation.State == propolis.StateRunning && e.Observation.Gen > 2:
			p.want(204, "POST", "/sim/do/fall-back=stopping", "")
		case e.Observation.State == propolis.StateStopping:
			p.want(204, "PUT", "/sim/faults", `["backwards"]`)
			p.want(204, "POST", "/sim/do/fail", "")
		}
		if e.Observation != nil {
			last = *e.Observation
		}
	})
	if last != (propolis.Observation{Gen: 0, State: propolis.StateFailed}) {
		t.Errorf("saw %+v last", last)
	}
}

// The server's instance id can also be read while its VM is being made.
func TestInstance(t *testing.T) {
	t.Parallel()
	p := launch(t, "--mode", "stay-creating")
	c := p.client()
	if _, err := c.Instance(t.Context()); propolis.KindOf(err) != propolis.NoInstance {
		t.Errorf("without a VM: %v", err)
	}
	made := make(chan int, 1)
	go func() { made <- p.send(waitLimit, "PUT", "/instance", spec) }()
	for p.status().VM == nil {
		time.Sleep(time.Millisecond) // sleep: between two looks of a poll with a deadline
	}
	want := uuid.MustParse("4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e")
	if id, err := c.Instance(t.Context()); err != nil || id != want {
		t.Errorf("while it is being made: %s, %v", id, err)
	}
	if err := c.Put(t.Context(), propolis.Run, 0); propolis.KindOf(err) != propolis.NoInstance {
		t.Errorf("run while it is being made: %v", err)
	}
	p.want(204, "PUT", "/sim/faults", `["wrong-instance"]`)
	if status := <-made; status != 201 {
		t.Errorf("PUT /instance: %d", status)
	}
	if id, err := c.Instance(t.Context()); err != nil || id == want {
		t.Errorf("with another's id: %s, %v", id, err)
	}
}

// Whatever faults a live server has, no call and no watch takes its VM for ended, and
// both work again when the faults end.
func TestFaultsProveNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hang", "deaf", "mute", "half", "trickle", "reset", "garbage", "babble", "flood", "headers",
		"interim", "switch", "redirect", "stray", "refuse=404", "refuse=410:Gone", "refuse=500:NoInstance", "refuse=503"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			name, value, valued := strings.Cut(mode, "=")
			if name += "-all"; valued {
				name += "=" + value
			}
			p := launch(t)
			p.want(201, "PUT", "/instance", spec)
			p.want(204, "PUT", "/instance/state", `"Run"`)
			p.want(204, "PUT", "/sim/faults", `["`+name+`"]`)
			c := p.client()
			_, err := c.Instance(t.Context())
			for what, err := range map[string]error{"instance": err, "run": c.Put(t.Context(), propolis.Run, 0)} {
				kind := propolis.KindOf(err)
				there := err == nil || kind == propolis.AlreadyInitialized
				if kind == propolis.NoInstance || there && mode != "stray" {
					t.Errorf("%s: %v proves something", what, err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
			defer cancel()
			budget := waitLimit / 100
			c.Watch(ctx, 0, propolis.WatchOptions{PollBudget: budget}, func(e propolis.WatchEvent) {
				switch {
				case e.Gone, e.NoInstance, e.Observation != nil &&
					(e.Observation.State == propolis.StateDestroyed || e.Observation.State == propolis.StateFailed):
					t.Errorf("event %+v", e)
					cancel()
				case e.Silent:
					p.want(204, "PUT", "/sim/faults", `[]`)
				case e.Observation != nil && e.Observation.State == propolis.StateRunning:
					cancel()
				}
			})
			if ctx.Err() == context.DeadlineExceeded {
				t.Error("the VM was not seen after the fault")
			}
		})
	}
}
