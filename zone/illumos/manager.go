package illumos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/kstat"
	"github.com/sledagent/sledagent/zone/internal/zonelock"
	"github.com/sledagent/sledagent/zone/stats"
)

// A Config configures a Manager.
type Config struct {
	// CommandPath lists the absolute directories in which the host's commands are
	// looked up, separated by colons.
	CommandPath string
	// ZoneRoot is the absolute directory of the zonepaths: ZoneRoot/NAME.
	ZoneRoot string
	Brand    string
	// Image are the arguments of zoneadm install: at least one absolute path, and
	// one-letter options that a brand requires before it. zoneadm puts them unquoted
	// into a shell command of bounded length.
	Image []string
	// Link is the datalink over which VNICs are created.
	Link string
	// Service is the FMRI of the server's service, with its instance.
	Service string
	// Gateway is the default gateway of the servers; the zero Addr selects the
	// host's own address on Link.
	Gateway netip.Addr
	// Prefix begins the names of the agent's zones; the Propolis id follows.
	Prefix string
	// MaxTasks limits the threads (LWPs) of a zone, including those of its services;
	// 0 is no limit.
	MaxTasks int
	// ZonesDir holds the host's zone configurations; /etc/zones if empty. If it has
	// no index, two listings and zonecfg are used instead.
	ZonesDir string
	Log      zerolog.Logger
	// VM destroys kernel VMs; nil if the host has none.
	VM VMDestroyer
}

// A VMDestroyer destroys kernel VMs that outlive their zones. A VM's name is its
// Propolis id. Its methods must be safe for concurrent use.
type VMDestroyer interface {
	Exists(ctx context.Context, name string) (bool, error)
	// DestroyVM destroys a VM. It returns nil if the VM does not exist.
	DestroyVM(ctx context.Context, name string) error
}

// A Manager manages the zones of an illumos host. It implements zone.Manager.
type Manager struct {
	cfg      Config
	commands *command.Set
	vnics    vnics
	zones    *lister
	facts    *facts
	// loading is a semaphore of one: it serializes loadLinks.
	loading chan struct{}
	locks   zonelock.Set
	pkill   *pkill
	mnttab  string
	// haltPoll is the interval of awaitHalt.
	haltPoll time.Duration
	// listBudget bounds one run of zoneadm list.
	listBudget time.Duration
	// garbage holds the unparseable lines of the last listing.
	garbage atomic.Pointer[string]
	// ctx ends with Close.
	ctx    context.Context
	cancel context.CancelFunc
	// background are the goroutines that Close waits for.
	background sync.WaitGroup
}

var _ zone.Manager = (*Manager)(nil)

// New fails without the required commands. Optional commands are used if present.
var (
	requiredCommands = []string{"zoneadm", "zonecfg", "dladm", "svcs", "svcprop", "pkill"}
	optionalCommands = []string{"ipadm", "kstat", "opteadm", "pgrep", "umount", "zfs"}
)

// New returns a manager of the host's zones, including those that an earlier agent
// created. It looks up the commands and runs none. The caller must call Close.
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
	cfg.ZonesDir = cmp.Or(cfg.ZonesDir, zonesDir)
	m := &Manager{cfg: cfg, commands: set, vnics: vnics{set, cfg.Link}, mnttab: mountTables[runtime.GOOS], haltPoll: time.Second, listBudget: listBudget}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.pkill = newPkill(m.ctx, set, &m.background)
	m.zones = newLister(m.listZones)
	m.facts, m.loading = newFacts(), make(chan struct{}, 1)
	return m, nil
}

// safeWord matches words that need no quotes in zoneadm's shell command and in
// zonecfg's script.
var safeWord = regexp.MustCompile(`^[A-Za-z0-9/._:@%+-]+$`)

// option matches a one-letter option of a brand's install hook.
var option = regexp.MustCompile(`^-[A-Za-z]$`)

func check(cfg Config) error {
	paths := slices.DeleteFunc(slices.Clone(cfg.Image), option.MatchString)
	if len(paths) == 0 {
		return errors.New("no image is given")
	}
	for _, path := range append(paths, cfg.ZoneRoot) {
		if !filepath.IsAbs(path) || !safeWord.MatchString(path) {
			return fmt.Errorf("%q is not an absolute path without shell metacharacters", path)
		}
	}
	for what, value := range map[string]string{"brand": cfg.Brand, "link": cfg.Link, "service": cfg.Service, "prefix": cfg.Prefix} {
		if !safeWord.MatchString(value) {
			return fmt.Errorf("%s %q is empty or has characters that are special to zonecfg", what, value)
		}
	}
	if err := zone.ValidName(cfg.Prefix + uuid.Nil.String()); err != nil {
		return fmt.Errorf("prefix %q does not make valid zone names: %w", cfg.Prefix, err)
	}
	if !strings.HasPrefix(cfg.Service, "svc:/") {
		return fmt.Errorf("service %q does not begin with svc:/", cfg.Service)
	}
	return checkInstall(cfg)
}

// zoneadm install builds a shell command from the brand's hook, the zone's name and
// path, and its own arguments, in a buffer of 1024 bytes (illumos zoneadm.c).
// maxHook is more than any brand's hook needs.
const (
	maxInstall = 1024
	maxHook    = 128
)

// checkInstall returns an error if zoneadm's shell command would be too long.
func checkInstall(cfg Config) error {
	longest := maxHook + zone.MaxName + len(cfg.ZoneRoot) + 1 + zone.MaxName
	for _, image := range cfg.Image {
		longest += 1 + len(image)
	}
	if longest >= maxInstall {
		return fmt.Errorf("zone root and images are %d bytes too long for zoneadm install", longest-maxInstall+1)
	}
	return nil
}

// Close stops the manager's goroutines and waits for them. It changes no zone:
// running zones keep running. It does not wait for commands that were left behind.
// No method may be called afterwards.
func (m *Manager) Close() error {
	m.cancel()
	m.background.Wait()
	return nil
}

// Sample implements stats.Source.
func (m *Manager) Sample(ctx context.Context) (stats.Sample, error) {
	return kstat.Sample(ctx, m.commands)
}

// LeftBehind returns the number of commands that outlived their budgets and have
// not ended.
func (m *Manager) LeftBehind() int { return m.commands.Count() }

// Isolation describes in a few words how the zones' processes are isolated.
func (m *Manager) Isolation() string { return "illumos zones of brand " + m.cfg.Brand }

// ours returns an error unless the name has the agent's prefix or was recalled, so
// that no other zone is ever changed.
func (m *Manager) ours(name string) error {
	if err := zone.ValidName(name); err != nil {
		return err
	}
	if id, ok := strings.CutPrefix(name, m.cfg.Prefix); (!ok || id == "") && !m.facts.of(name).recalled {
		return fmt.Errorf("zone %s does not belong to this agent: its name does not begin with %q", name, m.cfg.Prefix)
	}
	return nil
}

// Budgets of single commands. Callers set deadlines of their own, so these only
// end a command that hangs in a call with a long deadline, such as a start.
const (
	quickBudget   = 30 * time.Second // commands that normally take milliseconds
	installBudget = 10 * time.Minute // unpacks images; disk-bound, minutes at the worst
	readBudget    = 5 * time.Second  // a configuration or state that a call can do without
	bootBudget    = 5 * time.Minute  // sets up the zone and starts its init
	removeBudget  = 5 * time.Minute  // walks and frees the files of the zone
)
