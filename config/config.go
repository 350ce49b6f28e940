package config

import (
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// A Config is the whole configuration of an agent. It holds every value, with
// defaults filled in. A Config is plain data: it may be copied, but copies share
// the memory of its slices.
type Config struct {
	// StateDir is the absolute path of the directory for the ledger and for the
	// zones of the process backend.
	StateDir string
	// SledID is this sled's id; uuid.Nil means that the agent makes one at its
	// first start and keeps it in StateDir.
	SledID   uuid.UUID
	API      API
	Admin    Admin
	Log      Log
	Nexus    Nexus
	Propolis Propolis
	Watchdog Watchdog
	Zones    Zones
	// VMMReservoir is how large bhyve's reservoir is to be.
	VMMReservoir VMMReservoir
}

// VMMReservoir is the size of the memory that an illumos host keeps for guests,
// in one of two ways; it is left as it is if both are 0.
type VMMReservoir struct {
	// Size is in bytes.
	Size uint64
	// Percent is of the host's physical memory; it counts if Size is 0.
	Percent int
}

// API is the configuration of the API that Nexus calls.
type API struct {
	// Listen is where to listen; port 0 means any free port.
	Listen netip.AddrPort
}

// Admin is the configuration of the local API for operators.
type Admin struct {
	// Socket is the absolute path of the Unix socket, short enough for every
	// system's struct sockaddr_un.
	Socket string
	// Metrics is the host:port where Prometheus finds the metrics; empty means
	// that they are served on the socket alone.
	Metrics string
}

// Log says what is logged and how.
type Log struct {
	Level LogLevel
	// Format is empty where the file names none: then the caller chooses
	// FormatConsole on a terminal and FormatJSON elsewhere.
	Format LogFormat
}

// A LogLevel is the least severe level that is still logged.
type LogLevel string

// The log levels, from the most talkative to the most quiet.
const (
	LevelTrace LogLevel = "trace"
	LevelDebug LogLevel = "debug"
	LevelInfo  LogLevel = "info"
	LevelWarn  LogLevel = "warn"
	LevelError LogLevel = "error"
)

// A LogFormat is the form of a log line.
type LogFormat string

const (
	FormatJSON    LogFormat = "json"
	FormatConsole LogFormat = "console"
	FormatBunyan  LogFormat = "bunyan"
)

// Nexus says how VMM records are published.
type Nexus struct {
	// Addresses are the base URLs of Nexus's replicas, without a trailing slash,
	// to be tried in turn. If there are none, the agent is on its own and
	// publishes nothing.
	Addresses []string
	// RequestTimeout bounds one request.
	RequestTimeout time.Duration
	// RetryInitial is the first pause after a failure; pauses grow up to RetryMax.
	RetryInitial time.Duration
	RetryMax     time.Duration
	// GiveUpAfter is how long an end of a VMM is offered to a Nexus that does
	// not acknowledge it.
	GiveUpAfter time.Duration
}

// Propolis says how Propolis servers are talked to.
type Propolis struct {
	// RequestTimeout bounds one request, long polls apart.
	RequestTimeout time.Duration
	// GoneAfter is how long a server may refuse connections, while its zone
	// runs, before it counts as gone.
	GoneAfter time.Duration
	// APIVersion is the version sent in the api-version header: a full semantic
	// version, since servers refuse a shorter one.
	APIVersion string
}

// Watchdog holds the bounds after which a VMM's zone is removed by force.
type Watchdog struct {
	// StopGrace is the grace period of a stop that names none, at most
	// MaxStopGrace, to which a stop's own grace period is clamped.
	StopGrace    time.Duration
	MaxStopGrace time.Duration
	// StartTimeout and RebootTimeout bound a start and a reboot.
	StartTimeout  time.Duration
	RebootTimeout time.Duration
	// EvidenceBudget is how long each attempt to collect evidence may take.
	EvidenceBudget time.Duration
}

// Zones says what zones are made of.
type Zones struct {
	Backend Backend
	// Prefix is what the names of the agent's zones begin with; the Propolis id
	// follows. Prefix and id together are a valid zone name.
	Prefix string
	// Orphans is what to do with zones that carry the prefix and belong to no
	// VMM; empty stands for what suits the backend, see Keep.
	Orphans Orphans
	Process Process
	Illumos Illumos
}

// A Backend is a way to make zones.
type Backend string

const (
	// BackendAuto stands for the backend that fits the host; see On.
	BackendAuto    Backend = "auto"
	BackendIllumos Backend = "illumos"
	BackendProcess Backend = "process"
)

// On returns the backend to use on a host whose runtime.GOOS is goos: b itself,
// unless it is BackendAuto.
func (b Backend) On(goos string) Backend {
	switch {
	case b != BackendAuto:
		return b
	case goos == "illumos":
		return BackendIllumos
	}
	return BackendProcess
}

// Orphans says what to do with zones that belong to no VMM.
type Orphans string

const (
	OrphansRemove Orphans = "remove"
	OrphansKeep   Orphans = "keep"
)

// Keep tells whether orphans stay. Unless the file says, they stay on illumos,
// where somebody else may have made them, and go from the process backend's own
// directory.
func (o Orphans) Keep(b Backend) bool {
	return o == OrphansKeep || o == "" && b == BackendIllumos
}

// Process is the configuration of BackendProcess.
type Process struct {
	// Propolis is the argv of the server in each zone, never empty. In it,
	// {addr}, {ip}, {port}, {zone} and {root} are yet to be replaced. Its first
	// element is an absolute path or a bare name.
	Propolis []string
}

// Illumos is the configuration of BackendIllumos.
type Illumos struct {
	// CommandPath is a list of absolute directories, separated by colons, in
	// which zoneadm and its like are looked up.
	CommandPath string
	// VMMCtl is the control device of bhyve; empty where there is none.
	VMMCtl string
	// ZoneRoot is the directory of all zonepaths.
	ZoneRoot string
	Brand    string
	// Image are the arguments of zoneadm install, at least one.
	Image []string
	// Link is the datalink over which control VNICs are made.
	Link string
	// Service is the FMRI of the service to wait for in a zone.
	Service string
	// Gateway is written to a zone's SMF profile; the zero Addr stands for the
	// host's own address on Link.
	Gateway netip.Addr
}

// Default returns the configuration that an empty file stands for. The caller
// owns it. The admin socket lies in the default StateDir and does not follow a
// later change of that.
func Default() *Config {
	return &Config{
		StateDir: "/var/lib/sled-agent",
		API:      API{Listen: netip.MustParseAddrPort("[::1]:12345")},
		Admin:    Admin{Socket: "/var/lib/sled-agent/" + socketName},
		Log:      Log{Level: LevelInfo},
		Nexus: Nexus{
			Addresses:      []string{"http://[::1]:12221"},
			RequestTimeout: 10 * time.Second,
			RetryInitial:   250 * time.Millisecond,
			RetryMax:       30 * time.Second,
			GiveUpAfter:    24 * time.Hour,
		},
		Propolis: Propolis{
			RequestTimeout: 15 * time.Second,
			GoneAfter:      time.Minute,
			APIVersion:     "6.0.0",
		},
		Watchdog: Watchdog{
			StopGrace:      10 * time.Minute,
			MaxStopGrace:   time.Hour,
			StartTimeout:   15 * time.Minute,
			RebootTimeout:  10 * time.Minute,
			EvidenceBudget: 5 * time.Second,
		},
		Zones: Zones{
			Backend: BackendAuto,
			Prefix:  "oxz_propolis-server_",
			Process: Process{Propolis: []string{"propolis-sim", "run", "{addr}"}},
			Illumos: Illumos{
				CommandPath: "/usr/sbin:/usr/bin:/sbin",
				VMMCtl:      "/dev/vmmctl",
				ZoneRoot:    "/zones",
				Brand:       "omicron1",
				Image:       []string{"/opt/oxide/propolis-server.tar.gz", "/opt/oxide/overlay.tar.gz"},
				Link:        "underlay_stub0",
				Service:     "svc:/system/illumos/propolis-server:default",
			},
		},
	}
}
