package illumos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// A Config says what zones are made of and which commands make them.
type Config struct {
	// CommandPath is where the host's commands are looked up: absolute
	// directories, separated by colons.
	CommandPath string
	// ZoneRoot is the absolute directory of all zonepaths; a zone's is
	// ZoneRoot/NAME.
	ZoneRoot string
	Brand    string
	// Image are the arguments of zoneadm install, at least one: absolute paths.
	// zoneadm pastes them into a shell command of bounded length, unquoted.
	Image []string
	// Link is the datalink over which VNICs are made.
	Link string
	// Service is the FMRI of the server's service, with its instance.
	Service string
	// Gateway is what the server's network is told to route through; the zero
	// Addr stands for the host's own address on Link.
	Gateway netip.Addr
	// Prefix is what the names of the agent's zones begin with; the Propolis id
	// follows.
	Prefix string
	Log    zerolog.Logger
	// VM destroys kernel VMs; nil where there are none.
	VM VMDestroyer
	// Ports provides the guests' datalinks; nil for VNICs over Link.
	Ports Ports
}

// A VMDestroyer looks after kernel VMs that outlive their zones. A VM is named
// by its Propolis id. Its methods must be safe for concurrent use.
type VMDestroyer interface {
	Exists(ctx context.Context, name string) (bool, error)
	// DestroyVM destroys a VM; that there is none is success.
	DestroyVM(ctx context.Context, name string) error
}

// A Manager keeps zones of an illumos host. It implements zone.Manager.
type Manager struct {
	cfg      Config
	commands *command.Set
	control  vnics
	ports    Ports
	zones    lister
	claims   claims
	turns    turns
	watches  watches
	mnttab   string
	// haltPoll is how often a zone is looked at whose halt is under way elsewhere.
	haltPoll time.Duration
	// life ends with Close.
	life context.Context
	end  context.CancelFunc
	// background are the goroutines that Close waits for.
	background sync.WaitGroup
}

var _ zone.Manager = (*Manager)(nil)

// The commands that have to be there, and those that are used if they are.
var (
	requiredCommands = []string{"zoneadm", "zonecfg", "dladm", "svcs", "svcprop", "pkill"}
	optionalCommands = []string{"ipadm", "umount", "zfs"}
)

// New returns a manager of the host's zones, those included that another agent
// has made. It looks for the commands and runs none. Its owner closes it.
func New(cfg Config) (*Manager, error) {
	if err := check(cfg); err != nil {
		return nil, fmt.Errorf("use illumos zones: %w", err)
	}
	required := requiredCommands
	if !cfg.Gateway.IsValid() {
		required = append([]string{"ipadm"}, required...)
	}
	set, err := command.Find(cfg.CommandPath, required, optionalCommands, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("use illumos zones: find commands: %w", err)
	}
	m := &Manager{cfg: cfg, commands: set, ports: cfg.Ports, mnttab: mnttabFile, haltPoll: time.Second}
	m.life, m.end = context.WithCancel(context.Background())
	m.control = vnics{commands: set, over: cfg.Link, base: controlBase}
	if m.ports == nil {
		m.ports = vnics{commands: set, over: cfg.Link, base: guestBase}
	}
	m.zones = lister{run: m.listZones}
	m.claims.init()
	m.watches.byID = make(map[*watch]struct{})
	m.turns.entries = make(map[string]*entry)
	return m, nil
}

// safeWord is what may stand in zoneadm's shell command and in zonecfg's script
// as it is.
var safeWord = regexp.MustCompile(`^[A-Za-z0-9/._:@%+-]+$`)

func check(cfg Config) error {
	for _, path := range append([]string{cfg.ZoneRoot}, cfg.Image...) {
		if !filepath.IsAbs(path) || !safeWord.MatchString(path) {
			return fmt.Errorf("%q is no absolute path without characters that a shell reads", path)
		}
	}
	for what, value := range map[string]string{"brand": cfg.Brand, "link": cfg.Link, "service": cfg.Service, "prefix": cfg.Prefix} {
		if !safeWord.MatchString(value) {
			return fmt.Errorf("%s %q is empty or has characters that zonecfg reads", what, value)
		}
	}
	if err := zone.ValidName(cfg.Prefix + uuid.Nil.String()); err != nil {
		return fmt.Errorf("prefix %q makes no name of a zone: %w", cfg.Prefix, err)
	}
	if !strings.HasPrefix(cfg.Service, "svc:/") {
		return fmt.Errorf("service %q does not begin with svc:/", cfg.Service)
	}
	return checkInstall(cfg)
}

// zoneadm install makes one shell command of the brand's hook, a zone's name
// and path, and its own arguments, in a buffer of 1024 bytes (illumos
// zoneadm.c). maxHook is more than any brand's hook takes of it.
const (
	maxInstall = 1024
	maxHook    = 128
)

// checkInstall refuses arguments with which no zone could ever be installed.
func checkInstall(cfg Config) error {
	if len(cfg.Image) == 0 {
		return errors.New("no image is given")
	}
	longest := maxHook + zone.MaxName + len(cfg.ZoneRoot) + 1 + zone.MaxName
	for _, image := range cfg.Image {
		longest += 1 + len(image)
	}
	if longest >= maxInstall {
		return fmt.Errorf("zone root and images are %d bytes too long for zoneadm install", longest-maxInstall+1)
	}
	return nil
}

// Close ends all watching and what the manager runs for itself. It touches no
// zone: what runs goes on. Commands that were left behind are not waited for.
// No method may be called afterwards.
func (m *Manager) Close() error {
	m.end()
	m.background.Wait()
	return nil
}

// LeftBehind counts the commands that have outlived their budgets and not ended.
func (m *Manager) LeftBehind() int { return m.commands.Count() }

// Isolation says in a few words what holds the zones' processes together here.
func (m *Manager) Isolation() string { return "illumos zones of brand " + m.cfg.Brand }

func (m *Manager) zonePath(name string) string { return filepath.Join(m.cfg.ZoneRoot, name) }

// propolisID is the zone's name without the prefix; the kernel VM has that name.
func (m *Manager) propolisID(name string) string { return strings.TrimPrefix(name, m.cfg.Prefix) }

// ours returns an error for a name that no zone of the agent's can have, so that
// no other is ever changed.
func (m *Manager) ours(name string) error {
	if err := zone.ValidName(name); err != nil {
		return err
	}
	if id, ok := strings.CutPrefix(name, m.cfg.Prefix); !ok || id == "" {
		return fmt.Errorf("zone %s is not the agent's: its name does not begin with %q", name, m.cfg.Prefix)
	}
	return nil
}

// Budgets of single commands. Callers have budgets of their own, so these only
// catch one that hangs while the caller has much time, as a start does.
const (
	quickBudget   = 30 * time.Second // what takes milliseconds if nothing is wrong
	installBudget = 10 * time.Minute // unpacks images; disk-bound, minutes at the worst
	readBudget    = 5 * time.Second  // a configuration, for others than its zone
	bootBudget    = 5 * time.Minute  // makes the zone's environment and starts its init
	removeBudget  = 5 * time.Minute  // walks and frees what install has made
)
