package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/sledapi"
)

const (
	// startBudget is how long it may take until all VMMs run.
	startBudget = 6 * time.Second
	// endBudget is how long after its deadline a VMM may take to be over; more
	// than the promise allows, so that a breach is seen and measured.
	endBudget = 3 * time.Second
	// askBudget is how long the answer to one request may take.
	askBudget = 3 * time.Second
)

// A part is one VMM on the stage.
type part struct {
	facts
	at netip.AddrPort // where its Propolis serves
}

// play runs the whole demonstration on a stage that is set.
func (s *stage) play(ctx context.Context, grace time.Duration) error {
	parts, err := s.parts()
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startBudget)
	defer cancel()
	if err := each(parts, func(p part) error { return s.start(starting, p) }); err != nil {
		return err
	}
	ending, cancel := context.WithTimeout(ctx, grace+lateness+endBudget)
	defer cancel()
	err = each(parts, func(p part) error { return s.finish(ending, p, grace) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, s.inspect(ctx, parts))
}

func each(parts []part, do func(part) error) error {
	var g errgroup.Group
	for _, p := range parts {
		g.Go(func() error { return do(p) })
	}
	return g.Wait()
}

// parts gives every VMM an address that nobody else has at the moment.
func (s *stage) parts() ([]part, error) {
	var out []part
	for _, f := range s.board.look() {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		// All are held until each has one.
		defer func() { _ = ln.Close() }()
		out = append(out, part{facts: f, at: ln.Addr().(*net.TCPAddr).AddrPort()})
	}
	return out, nil
}

// start registers and runs a VMM and waits until Nexus knows that it runs.
func (s *stage) start(ctx context.Context, p part) error {
	body := wire.NewBody(wire.BodyOptions{PropolisAddr: p.at, Hostname: p.role.name})
	if _, err := s.api.Register(ctx, p.id, body); err != nil {
		return fmt.Errorf("register the %s VMM: %w", p.role.name, err)
	}
	if _, err := s.api.SetState(ctx, p.id, sledapi.Running, nil); err != nil {
		return fmt.Errorf("run the %s VMM: %w", p.role.name, err)
	}
	err := await(ctx, func() bool {
		s.askNexus(ctx, p)
		return s.fact(p).row.State() == vmm.WireRunning
	})
	if err != nil {
		return fmt.Errorf("wait until the %s VMM runs: %w; its state at Nexus is %q; the agent's last words:\n%s",
			p.role.name, err, s.fact(p).row.State(), s.agent.log.tail())
	}
	if err := s.identify(ctx, p); err != nil {
		return fmt.Errorf("find the %s VMM on the host: %w", p.role.name, err)
	}
	return s.sim.misbehave(ctx, p.at, p.role.faults)
}

// identify notes what there is of a VMM that runs. What is looked for at the end
// must be there now, or its absence means nothing.
func (s *stage) identify(ctx context.Context, p part) error {
	status, err := s.admin.Show(ctx, p.id)
	if err != nil {
		return err
	}
	pid, err := s.ground.server(ctx, status)
	if err != nil {
		return err
	}
	things, err := s.ground.look(ctx, p.id, nil)
	if err != nil {
		return err
	}
	if kind := absent(s.ground.kinds(), things); kind != "" || !alive(pid) {
		return fmt.Errorf("it runs, but its server's process (%d) or a %s is not seen", pid, cmp.Or(kind, kindProcess))
	}
	s.board.note(p.id, func(f *facts) { f.running, f.pid, f.things = time.Now(), pid, things })
	return nil
}

// finish begins a VMM's end and watches until it is over, or the context is.
func (s *stage) finish(ctx context.Context, p part, grace time.Duration) error {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		// A VMM that is not over in time is for the verdict to tell.
		_ = await(ctx, func() bool { return s.watch(ctx, p) })
	}()
	s.board.note(p.id, func(f *facts) { f.sent = time.Now() })
	err := s.stop(ctx, p, grace)
	s.board.note(p.id, func(f *facts) {
		f.answered = time.Now()
		if err != nil {
			f.refusal = err.Error()
		}
	})
	<-watched
	return nil
}

func (s *stage) stop(ctx context.Context, p part, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	if p.role.byItself {
		return s.sim.powerOff(ctx, p.at)
	}
	_, err := s.api.SetState(ctx, p.id, sledapi.Stopped, &grace)
	return err
}

// watch looks once at a VMM from outside, and tells whether it is over.
func (s *stage) watch(ctx context.Context, p part) bool {
	f := s.fact(p)
	now := time.Now()
	if f.dead.IsZero() && !alive(f.pid) {
		s.board.note(p.id, func(f *facts) { f.dead = now })
	}
	if f.forgotten.IsZero() {
		_, err := s.api.State(ctx, p.id)
		gone := sledapi.Gone(err)
		// Nexus is asked after the agent: what the agent forgot must be there.
		s.askNexus(ctx, p)
		if gone {
			s.board.note(p.id, func(f *facts) { f.forgotten, f.atNexus = now, f.row.State() })
		}
	}
	return s.fact(p).over()
}

func (s *stage) askNexus(ctx context.Context, p part) {
	if row, err := s.sim.row(ctx, p.id); err == nil {
		s.board.note(p.id, func(f *facts) { f.row = row })
	}
}

func (s *stage) fact(p part) facts {
	for _, f := range s.board.look() {
		if f.id == p.id {
			return f
		}
	}
	return p.facts
}

// inspect looks for what is left when all is over, and collects what Nexus has
// to say.
func (s *stage) inspect(ctx context.Context, parts []part) error {
	violations, err := s.sim.violations(ctx)
	if err != nil {
		return err
	}
	for _, p := range parts {
		s.askNexus(ctx, p)
		left, err := s.leftovers(ctx, p)
		if err != nil {
			return fmt.Errorf("look for what is left of the %s VMM: %w", p.role.name, err)
		}
		s.board.note(p.id, func(f *facts) {
			f.left = left
			for _, v := range violations {
				if v.VMM == p.id {
					f.violations = append(f.violations, v)
				}
			}
		})
	}
	return nil
}

func (s *stage) leftovers(ctx context.Context, p part) (left []string, err error) {
	things, err := s.ground.look(ctx, p.id, s.fact(p).things)
	for _, t := range things {
		left = append(left, t.String())
	}
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "tcp", p.at.String()); err == nil {
		_ = conn.Close()
		left = append(left, "a server at "+p.at.String())
	}
	return left, err
}

// follow notes the agent's events until the context or the agent ends.
func (s *stage) follow(ctx context.Context) error {
	for e, err := range s.admin.Events(ctx, admin.EventQuery{Follow: true}) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("follow the agent's events: %w", err)
		}
		s.board.noteEvent(e)
	}
	return nil
}
