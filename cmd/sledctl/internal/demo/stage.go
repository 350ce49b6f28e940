package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/sledapi"
)

const (
	// setBudget is how long it may take until the agent serves.
	setBudget = 5 * time.Second
	// strikeBudget is how long the agent may take to remove what still runs when
	// the demo ends early; then its processes are killed without it.
	strikeBudget = 2500 * time.Millisecond
	// clearBudget is how long it may take until nothing of the ground runs.
	clearBudget = 3 * time.Second
)

// A stage is the running programs and the directory that they live in.
type stage struct {
	dir    string
	ground ground
	nexus  *child
	agent  *child
	api    *sledapi.Client
	admin  *admin.Client
	sim    simClient
	board  *board
}

// stateDir is the agent's, below the stage's.
const stateDir = "state"

// setUp lays the ground and starts Nexus and an agent that reports to it. On
// error the caller still has to strike what was set up.
func setUp(ctx context.Context, b *board, on backend, programs map[string]string, grace time.Duration) (s *stage, err error) {
	s = &stage{board: b}
	if s.dir, err = os.MkdirTemp("", "sled-demo-"); err != nil {
		return s, fmt.Errorf("make a directory for the demo: %w", err)
	}
	if s.ground, err = on.lay(ctx, s.dir, programs); err != nil {
		return s, err
	}
	if err := s.startNexus(ctx, programs["nexus-sim"]); err != nil {
		return s, err
	}
	return s, s.startAgent(ctx, programs["sled-agent"], grace)
}

func (s *stage) startNexus(ctx context.Context, path string) (err error) {
	if s.nexus, err = startChild(path, "run", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"); err != nil {
		return err
	}
	said, err := s.nexus.says(ctx, "control")
	if err != nil {
		return err
	}
	s.sim = simClient{nexus: fmt.Sprintf("http://%v", said["control"]), records: fmt.Sprintf("http://%v", said["listen"])}
	return nil
}

func (s *stage) startAgent(ctx context.Context, path string, grace time.Duration) (err error) {
	file := filepath.Join(s.dir, "sled-agent.toml")
	if err := s.writeConfig(file, grace); err != nil {
		return err
	}
	if s.agent, err = startChild(path, "run", "--config", file); err != nil {
		return err
	}
	said, err := s.agent.says(ctx, "addr")
	if err != nil {
		return err
	}
	if s.api, err = sledapi.New(fmt.Sprintf("http://%v", said["addr"])); err != nil {
		return err
	}
	s.admin = admin.NewClient(filepath.Join(s.dir, stateDir, "admin.sock"))
	return nil
}

// writeConfig writes the agent's. The grace period of a guest that powers
// itself off is the configured one.
func (s *stage) writeConfig(file string, grace time.Duration) error {
	text, err := toml.Marshal(section{
		"state_dir": filepath.Join(s.dir, stateDir),
		"api":       section{"listen": "127.0.0.1:0"},
		"log":       section{"format": "json", "level": "info"},
		"nexus":     section{"addresses": []string{s.sim.records}},
		"watchdog":  section{"stop_grace": grace.String()},
		"zones":     s.ground.zones(),
	})
	if err != nil {
		return fmt.Errorf("write the agent's configuration: %w", err)
	}
	return os.WriteFile(file, text, 0o600)
}

// strike ends everything and leaves nothing behind: first the VMMs, through the
// agent, for an agent that ends leaves its VMMs running; then the programs and
// whatever process was seen and has survived, then the directory.
func (s *stage) strike() error {
	s.endAgent()
	for _, f := range s.board.look() {
		if f.dead.IsZero() && alive(f.pid) {
			_ = syscall.Kill(f.pid, syscall.SIGKILL) // It may end this very moment.
		}
	}
	err := s.clearGround()
	if s.nexus != nil {
		s.nexus.end(termBudget)
	}
	if s.dir == "" {
		return err
	}
	if gone := os.RemoveAll(s.dir); gone != nil {
		err = errors.Join(err, fmt.Errorf("remove the demo's directory: %w", gone))
	}
	return err
}

func (s *stage) clearGround() error {
	if s.ground == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), clearBudget)
	defer cancel()
	if err := s.ground.clear(ctx); err != nil {
		return fmt.Errorf("end what the zones stood on: %w", err)
	}
	return nil
}

// endAgent ends the VMMs and the agent.
func (s *stage) endAgent() {
	if s.agent == nil {
		return
	}
	if s.api != nil {
		s.unregisterAll()
		s.api.Close()
	}
	if s.admin != nil {
		s.admin.Close()
	}
	s.agent.end(termBudget)
}

// unregisterAll removes the VMMs that are not over and waits for it, a while.
func (s *stage) unregisterAll() {
	ctx, cancel := context.WithTimeout(context.Background(), strikeBudget)
	defer cancel()
	var wg sync.WaitGroup
	for _, f := range s.board.look() {
		if f.over() {
			continue
		}
		wg.Go(func() {
			if _, err := s.api.Unregister(ctx, f.id); err == nil {
				_ = await(ctx, func() bool {
					left, err := s.ground.look(ctx, f.id, f.things)
					return err == nil && len(left) == 0
				})
			}
		})
	}
	wg.Wait()
}

// alive tells whether there is such a process, be it only a zombie.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// pollEvery is how often something is looked at that tells nobody of its change.
const pollEvery = 20 * time.Millisecond

// await looks until it is so, or returns the context's error.
func await(ctx context.Context, isSo func() bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
