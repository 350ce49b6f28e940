// Command sled-demo demonstrates the project's promises on this machine, in a few
// seconds and without root.
//
//	nexus-sim <──records── sled-agent ──zones──> 5 x propolis-sim, or 4 x propolis-qemu
//	    ^                   ^      ^                    ^
//	    └──────asks─────────┴─demo─┴──────faults────────┘
//
// It starts the real programs in a temporary directory, runs five VMMs, most of which
// do not stop properly, stops all of them, and checks each one's end by asking Nexus,
// the agent, the kernel, the file system and, with illumos zones, the host's commands.
// It relies on the agent's events only for times that no other source has.
//
// It uses only the programs, their HTTP APIs and the host. The timeline, the verdict and
// the tables are pure functions of the collected facts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// startBudget bounds the time until the agent serves, and again until all VMMs run. Real
// guests boot in it without a processor's help.
const startBudget = time.Minute

// version is set by the Makefile.
var version = "unknown"

func main() {
	grace := flag.Duration("grace", 0, "how long each VMM may take to stop, 1m at most (default 3s, with real guests 10s)")
	backend := flag.String("backend", "process", "process or illumos, the agent's `kind` of zones; or qemu, real guests in zones of processes")
	tell := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *tell {
		fmt.Println("sled-demo version", version)
		return
	}
	if *grace == 0 {
		*grace = 3 * time.Second
		if *backend == "qemu" {
			*grace = 10 * time.Second
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *backend, *grace)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sled-demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out *os.File, backend string, grace time.Duration) error {
	if grace < 0 || grace > time.Minute {
		return fmt.Errorf("-grace %v: want 0 to 1m", grace)
	}
	if !slices.Contains([]string{"process", "illumos", "qemu"}, backend) {
		return fmt.Errorf("-backend %s: want process, illumos or qemu", backend)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d, err := newDemo(filepath.Dir(self), backend, grace)
	if err != nil {
		return err
	}
	fmt.Fprint(out, intro(backend, grace))
	err = errors.Join(d.perform(ctx, newScreen(out), backend), d.end())
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	text, kept := report(d.look(), backend, grace, d.unnoticed)
	fmt.Fprint(out, text)
	if !kept {
		return errors.New("a promise was broken")
	}
	return nil
}

// perform runs the demo and shows its progress.
func (d *demo) perform(ctx context.Context, s *screen, backend string) error {
	starting, cancel := context.WithTimeout(ctx, startBudget)
	defer cancel()
	if err := d.setUp(starting, backend); err != nil {
		return err
	}
	defer s.clear()
	done := make(chan error, 1)
	go func() { done <- d.play(ctx) }()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			s.show(d.look(), time.Now())
			return err
		case <-tick.C:
			s.show(d.look(), time.Now())
		}
	}
}

// endBudget bounds how long the agent may take to remove what still runs when the demo
// ends early.
const endBudget = 2500 * time.Millisecond

// A demo is the running programs, their directory, and the facts about the VMMs.
type demo struct {
	bin, dir     string
	grace        time.Duration
	host         *host
	agent, nexus *program
	// sled and admin are the addresses of the agent's APIs, control is nexus-sim's.
	sled, admin, control string

	// unnoticed tells what a guest noticed of the agent's death; empty without real guests.
	unnoticed string

	mu  sync.Mutex
	vms []facts
}

// newDemo uses the programs in the directory bin. The caller must call end.
func newDemo(bin, backend string, grace time.Duration) (d *demo, err error) {
	d = &demo{bin: bin, grace: grace}
	for _, r := range roles(backend) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = ln.Close() }() // All ports are held until all are found.
		d.vms = append(d.vms, facts{role: r, id: uuid.New(), addr: ln.Addr().String()})
	}
	if d.dir, err = os.MkdirTemp("", "sled-demo-"); err != nil {
		return nil, fmt.Errorf("make a directory for the demo: %w", err)
	}
	return d, nil
}

// look returns a copy of the facts, in the order of the roles.
func (d *demo) look() []facts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.vms)
}

// note changes the facts of VMM number i. change must not modify existing slices.
func (d *demo) note(i int, change func(*facts)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.vms[i])
}

// sledAddr returns the address of the agent's sled API; empty until it serves.
func (d *demo) sledAddr() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sled
}

// each calls do for all VMMs concurrently.
func (d *demo) each(do func(i int, f facts) error) error {
	var g errgroup.Group
	for i, f := range d.look() {
		g.Go(func() error { return do(i, f) })
	}
	return g.Wait()
}

// setUp starts Nexus and an agent that reports to it.
func (d *demo) setUp(ctx context.Context, backend string) (err error) {
	state := filepath.Join(d.dir, "state")
	dir := state
	if backend == "illumos" {
		dir = filepath.Join(d.dir, "illumos")
	}
	if d.host, err = newHost(ctx, backend, d.bin, dir); err != nil {
		return err
	}
	if d.nexus, err = start(d.dir, filepath.Join(d.bin, "nexus-sim"), "run", "--listen", "127.0.0.1:0"); err != nil {
		return err
	}
	if d.control, err = d.nexus.said(ctx, "listen"); err != nil {
		return err
	}
	if err := os.WriteFile(d.configFile(), []byte(d.config(state)), 0o600); err != nil {
		return err
	}
	d.admin = filepath.Join(state, "admin.sock")
	return d.startAgent(ctx)
}

func (d *demo) configFile() string { return filepath.Join(d.dir, "sled-agent.toml") }

// startAgent starts an agent and waits until it serves.
func (d *demo) startAgent(ctx context.Context) (err error) {
	if d.agent, err = start(d.dir, filepath.Join(d.bin, "sled-agent"), "run", "--config", d.configFile()); err != nil {
		return err
	}
	sled, err := d.agent.said(ctx, "addr")
	d.mu.Lock()
	d.sled = sled
	d.mu.Unlock()
	return err
}

// config returns the agent's configuration. The configured grace period applies to a
// guest that powers itself off.
func (d *demo) config(state string) string {
	return fmt.Sprintf(`state_dir = %q
[api]
listen = "127.0.0.1:0"
[log]
format = "json"
level = "info"
[nexus]
addresses = [%q]
[watchdog]
stop_grace = %q
`, state, "http://"+d.control, d.grace) + d.host.config
}

// end ends everything and removes the directory. It first removes the VMMs through the
// agent, since they outlive it, then ends the programs, and last kills every server
// that has survived.
func (d *demo) end() error {
	if d.sledAddr() != "" {
		d.endVMMs()
	}
	d.agent.end(termBudget)
	for _, f := range d.look() {
		if f.dead.IsZero() && alive(f.pid) {
			_ = syscall.Kill(f.pid, syscall.SIGKILL) // It may just have ended.
		}
	}
	err := d.host.close(context.Background())
	d.nexus.end(termBudget)
	return errors.Join(err, os.RemoveAll(d.dir))
}

// endVMMs unregisters the VMMs that are not over and waits, within endBudget, for the
// agent to remove them.
func (d *demo) endVMMs() {
	ctx, cancel := context.WithTimeout(context.Background(), endBudget)
	defer cancel()
	_ = d.each(func(_ int, f facts) error {
		if f.over() {
			return nil
		}
		return call(ctx, d.sledAddr(), "DELETE", "/vmms/"+f.id.String(), "", nil)
	})
	_ = await(ctx, func() bool {
		var left []any
		return call(ctx, d.admin, "GET", "/v1/vmms", "", &left) == nil && len(left) == 0
	})
}
