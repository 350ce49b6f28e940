package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/flight"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/internal/zonelock"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// DefaultLogMax is the default of Config.LogMax.
const DefaultLogMax = 1 << 20

// DefaultMaxTasks is the default of Config.MaxTasks.
const DefaultMaxTasks = 4096

// A Config is the configuration of a Manager.
type Config struct {
	// Dir holds a directory for each zone. It is made, accessible to its user only,
	// if it is absent.
	Dir string
	// Prefix begins the name of every zone of this agent.
	Prefix string
	// Argv is the command of each zone's server. In every argument {addr}, {ip},
	// {port}, {zone} and {root} are replaced. The first element is an absolute path,
	// or a name that is looked for beside the agent's executable, then in PATH.
	Argv []string
	// LogMax is how many bytes of a server's log are kept; 0 means DefaultLogMax.
	LogMax int64
	// MaxTasks is how many processes and threads a zone may have, so that a fork bomb
	// in one zone does not use up those of the host; 0 means DefaultMaxTasks. A
	// control group that counts tasks enforces it. Without one, the zones of an
	// unprivileged agent are limited together, so that they leave some of the user's
	// processes to the agent.
	MaxTasks int
	// Log receives errors that cannot be returned to a caller.
	Log zerolog.Logger
	// Self is the program that is run as a zone's init and as the helper that starts
	// inits. It must call Main first. Empty means the running program.
	Self string
}

// A Manager implements zone.Manager with process trees.
//
// It holds one descriptor for each zone whose end it watches, and one goroutine for
// all of them.
type Manager struct {
	cfg Config
	dir string // Config.Dir, absolute
	iso isolation
	// tasks is the directory of cgroup v1 in which groups that count a zone's tasks
	// are made; empty if there is none, or if a zone's own group counts them.
	tasks  string
	poller *proc.Poller
	// starter starts inits.
	starter starter
	// hostScan scans all processes of the host.
	hostScan *flight.Group[[]hostProcess]
	closed   chan struct{}
	locks    zonelock.Set

	// mu guards the maps and what they point to. It is never held during I/O.
	mu    sync.Mutex
	trees map[string]*tree
	// recalled are the names of zones that an earlier agent made.
	recalled map[string]bool
}

var _ zone.Manager = (*Manager)(nil)

// New returns a manager of the zones below cfg.Dir, including those that an earlier
// agent has made or booted. The caller must close it.
func New(cfg Config) (*Manager, error) {
	cfg, err := complete(cfg)
	if err != nil {
		return nil, fmt.Errorf("use process-backed zones: %w", err)
	}
	m, err := prepare(cfg)
	if err != nil {
		return nil, fmt.Errorf("use process-backed zones: %w", err)
	}
	return m, nil
}

// complete checks a configuration and fills in its defaults.
func complete(cfg Config) (Config, error) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return cfg, errors.New("the process backend needs Linux or macOS")
	}
	if len(cfg.Argv) == 0 || cfg.Argv[0] == "" {
		return cfg, errors.New("the server's command is missing")
	}
	if cfg.LogMax <= 0 {
		cfg.LogMax = DefaultLogMax
	}
	if cfg.MaxTasks <= 0 {
		cfg.MaxTasks = DefaultMaxTasks
	}
	if cfg.Self != "" {
		return cfg, nil
	}
	self, err := ownProgram()
	cfg.Self = self
	return cfg, err
}

func prepare(cfg Config) (*Manager, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find zones' directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make zones' directory: %w", err)
	}
	if err := proc.Check(); err != nil {
		return nil, err
	}
	iso, err := probe(dir)
	if err != nil {
		return nil, err
	}
	poller, err := proc.NewPoller()
	if err != nil {
		return nil, err
	}
	starter, err := newStarter(cfg.Self)
	if err != nil {
		_ = poller.Close()
		return nil, err
	}
	return &Manager{
		cfg:      cfg,
		dir:      dir,
		iso:      iso,
		tasks:    probeTasks(dir, iso),
		poller:   poller,
		starter:  starter,
		hostScan: &flight.Group[[]hostProcess]{Do: scanHost},
		closed:   make(chan struct{}),
		trees:    make(map[string]*tree),

		recalled: make(map[string]bool),
	}, nil
}

// Close ends all watches. Zones that run continue to run. No method may be called
// afterwards.
func (m *Manager) Close() error {
	m.mu.Lock()
	select {
	case <-m.closed:
		m.mu.Unlock()
		return nil
	default:
		close(m.closed)
	}
	m.mu.Unlock()
	m.starter.Close()
	if err := m.poller.Close(); err != nil {
		return fmt.Errorf("close process-backed zones: %w", err)
	}
	return nil
}

// Recall implements zone.Manager. It uses only the name: the zone's directory follows
// from Config.Dir, and its isolation is recorded in that directory.
func (m *Manager) Recall(name string, _ zone.Made) {
	if zone.ValidName(name) != nil {
		return // no zone has this name, and it must not become part of a path
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recalled[name] = true
}

// Isolation describes what holds the zones' processes together on this host.
func (m *Manager) Isolation() string { return m.iso.String() }

// start calls do while it holds the zone's lock. A removal cancels it.
func (m *Manager) start(ctx context.Context, verb, name string, do func(context.Context) error) error {
	err := zone.ValidName(name)
	if err == nil {
		err = m.locks.Start(ctx, name, do)
	}
	var fork errFork
	// ENOSPC means a full disk, but from a fork it means that the limit of PID
	// namespaces or processes is reached (clone(2)).
	full := errors.As(err, &fork) && errors.Is(err, syscall.ENOSPC)
	if !errors.Is(err, zone.ErrBusy) && (zone.IsShortage(err) || full) {
		err = fmt.Errorf("%w: %w", zone.ErrBusy, err)
	}
	return failed(verb, name, err)
}

// errFork marks the error of a process that could not be started.
type errFork struct{ error }

func (e errFork) Unwrap() error { return e.error }

// failed adds the operation and the zone to an error.
func failed(verb, name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s zone %s: %w", verb, name, err)
	}
	return nil
}

func (m *Manager) zoneDir(name string) string { return filepath.Join(m.dir, name) }
