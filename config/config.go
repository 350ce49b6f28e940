package config

import (
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// A Config is the complete configuration of an agent, with defaults filled in. The
// meaning of each value is in default.toml. A Config is plain data: it may be copied, but
// copies share the memory of its slices.
type Config struct {
	StateDir     string    // absolute
	SledID       uuid.UUID // uuid.Nil: the agent makes one and keeps it in StateDir
	API          API
	Admin        Admin
	Metrics      Metrics
	Log          Log
	Nexus        Nexus
	Propolis     Propolis
	Watchdog     Watchdog
	Evidence     Evidence
	Zones        Zones
	VMMReservoir VMMReservoir
}

// API is the configuration of the API that Nexus calls.
type API struct {
	Listen  netip.AddrPort
	Clients []APIClient // with TLS at least one, else none
	TLS     ServerTLS
}

// Admin is the configuration of the local API for operators.
type Admin struct {
	Group     string // whose members may use the socket; empty: the agent's user only
	Socket    string // absolute, and short enough for every system's struct sockaddr_un
	Metrics   string // host:port; empty: metrics are served on the socket alone
	KeepEnded time.Duration
}

// Metrics configures the listener for Prometheus further.
type Metrics struct {
	WebConfig string // absolute path of a web configuration file; empty: plain HTTP for all
}

// Log configures the log.
type Log struct {
	Level  string    // empty: FormatConsole on a terminal, FormatJSON otherwise
	Format LogFormat // empty: FormatConsole on a terminal, FormatJSON elsewhere
}

// A LogFormat is the form of a log line.
type LogFormat string

const (
	FormatJSON    = "json"
	FormatConsole = "console"
	FormatBunyan  = "bunyan"
)

// Nexus configures the publication of VMM records.
type Nexus struct {
	// Addresses are base URLs without a trailing slash. Without any, and without DNS, the
	// agent publishes nothing.
	Addresses []string
	// DNS are the DNS servers by which Nexus is found. With them, Addresses are for the time
	// before their first answer.
	DNS            []netip.AddrPort
	RequestTimeout time.Duration
	RetryInitial   time.Duration // at most RetryMax
	RetryMax       time.Duration
	GiveUpAfter    time.Duration
	TLS            ClientTLS
}

// Propolis configures the calls to Propolis servers.
type Propolis struct {
	RequestTimeout time.Duration // of one request, except for long polls
	GoneAfter      time.Duration
	APIVersion     string // a full semantic version; servers refuse a shorter one
}

// Watchdog holds the bounds after which a VMM's zone is removed by force.
type Watchdog struct {
	StopGrace      time.Duration // at most MaxStopGrace
	MaxStopGrace   time.Duration
	StartTimeout   time.Duration
	RebootTimeout  time.Duration
	EvidenceBudget time.Duration // before a deadline, and again after the kill
}

// Zones configures the zones of VMMs.
type Zones struct {
	Backend  Backend
	Prefix   string  // with a Propolis id appended, a valid zone name
	Orphans  Orphans // empty: the backend's default, see Keep
	MaxTasks int
	Process  Process
	Illumos  Illumos
}

// A Backend is an implementation of zones.
type Backend string

const (
	// BackendAuto stands for the backend that fits the host; see On.
	BackendAuto    = "auto"
	BackendIllumos = "illumos"
	BackendProcess = "process"
)

// On returns the backend to use on a host whose runtime.GOOS is goos: b itself, unless it
// is BackendAuto.
func (b Backend) On(goos string) Backend {
	switch {
	case b != BackendAuto:
		return b
	case goos == "illumos":
		return BackendIllumos
	}
	return BackendProcess
}

// Orphans is what to do with zones that belong to no VMM.
type Orphans string

const (
	OrphansRemove = "remove"
	OrphansKeep   = "keep"
)

// Keep reports whether to keep orphans. By default they are kept on illumos, where other
// software may have made them, and removed from the process backend's own directory.
func (o Orphans) Keep(b Backend) bool {
	return o == OrphansKeep || o == "" && b == BackendIllumos
}

// Process is the configuration of BackendProcess.
type Process struct {
	// Propolis is the argv of the server in each zone, never empty, with placeholders.
	// Its first element is an absolute path or a bare name.
	Propolis []string
}

// Illumos is the configuration of BackendIllumos.
type Illumos struct {
	CommandPath string // absolute directories, separated by colons
	VMMCtl      string // empty where there is no bhyve
	ZoneRoot    string // absolute
	Brand       string
	Image       []string // at least one
	Link        string
	Service     string     // an FMRI
	Gateway     netip.Addr // the zero Addr: the host's own address on Link
}

// VMMReservoir is the size of the memory reserved for guests on an illumos host. At most
// one value is used. If both are 0 the reservoir is not changed.
type VMMReservoir struct {
	Size    uint64 // in bytes
	Percent int    // of the host's physical memory; used if Size is 0
}
