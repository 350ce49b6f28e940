package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// DefaultLogMax is how many bytes of a server's log are kept unless Config says
// otherwise.
const DefaultLogMax = 1 << 20

// A Config says where zones live and what runs in them.
type Config struct {
	// Dir holds a directory for each zone. It is made, for its user alone, if
	// it is absent.
	Dir string
	// Prefix begins the name of every zone of this agent.
	Prefix string
	// Argv is the command of each zone's server. In every argument {addr},
	// {ip}, {port}, {zone} and {root} are replaced. Its first element is an
	// absolute path, or is looked for beside the agent's executable, then in PATH.
	Argv []string
	// LogMax is how many bytes of a server's log are kept; 0: DefaultLogMax.
	LogMax int64
	// Log receives what nobody is there to be told.
	Log zerolog.Logger
	// Self is the program that is run as a zone's init. It must call Main
	// first. Empty: the running program.
	Self string
}

// A Manager keeps zones as process trees. It implements zone.Manager.
//
// For each zone whose end it watches it holds one descriptor, and one goroutine
// for all of them.
type Manager struct {
	cfg    Config
	dir    string // Config.Dir, absolute
	bootID string
	iso    isolation
	poller *proc.Poller
	closed chan struct{}

	// mu guards the maps and what they point to; it is never held over I/O.
	mu      sync.Mutex
	entries map[string]*entry
	trees   map[string]*tree
}

var _ zone.Manager = (*Manager)(nil)

// New returns a manager of the zones below cfg.Dir, those included that another
// agent has made and those that run. Its owner closes it.
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
		return cfg, errors.New("no command of the server is given")
	}
	if cfg.LogMax <= 0 {
		cfg.LogMax = DefaultLogMax
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
	bootID, err := proc.BootID()
	if err != nil {
		return nil, err
	}
	poller, err := proc.NewPoller()
	if err != nil {
		return nil, err
	}
	return &Manager{
		cfg:     cfg,
		dir:     dir,
		bootID:  bootID,
		iso:     probe(dir),
		poller:  poller,
		closed:  make(chan struct{}),
		entries: make(map[string]*entry),
		trees:   make(map[string]*tree),
	}, nil
}

// Close ends all watching. It touches no zone: what runs goes on. No method
// may be called afterwards.
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
	if err := m.poller.Close(); err != nil {
		return fmt.Errorf("close process-backed zones: %w", err)
	}
	return nil
}

// Isolation says in a few words what holds the zones' processes together here.
func (m *Manager) Isolation() string { return m.iso.String() }

func (m *Manager) zoneDir(name string) string { return filepath.Join(m.dir, name) }
