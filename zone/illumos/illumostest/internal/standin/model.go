package standin

import (
	"slices"
	"time"
)

// States of a zone, as zoneadm(8) prints them.
const (
	Configured   = "configured"
	Incomplete   = "incomplete"
	Installed    = "installed"
	Ready        = "ready"
	Running      = "running"
	ShuttingDown = "shutting_down"
	Down         = "down"
)

// A Zone is one zone of the host.
type Zone struct {
	Name   string
	State  string
	Config Config
	// Links are the datalinks that the zone was given when it became ready. What
	// is configured later does not touch it.
	Links []string `json:",omitempty"`
	// UUID is empty until the zone is first installed.
	UUID string
	// ID is the kernel's number of an active zone, 0 otherwise. Numbers are
	// reused, UniqID is not.
	ID     int
	UniqID uint64
	// Order is the place in the index file.
	Order int
	// Booted is when the zone became ready.
	Booted time.Time
	// InitPID is the zone's init, ServerPID its server; 0 if there is none.
	InitPID, ServerPID int
	// Repository tells whether svc.configd of the zone answers.
	Repository bool
	Services   map[string]Service
	// Requests are what svcadm asked of the zone's restarter and it has not
	// yet done.
	Requests []Request
	// Properties of the server's instance, set by the profile and by svccfg.
	Properties map[string]string
}

// Active tells whether the kernel knows the zone.
func (z *Zone) Active() bool {
	return !slices.Contains([]string{Configured, Incomplete, Installed}, z.State)
}

// holds tells whether a datalink is in the zone. The kernel gives links back
// when the last process has ended.
func (z *Zone) holds(link string) bool {
	return z.Active() && z.State != Down && slices.Contains(z.Links, link)
}

// A Service is one SMF instance.
type Service struct {
	State string
	// Next is where it is on its way to, "-" if nowhere.
	Next   string
	Reason string
	Since  time.Time
}

// A Request is what svcadm asks of a restarter.
type Request struct{ Verb, FMRI string }

// A Link is a datalink.
type Link struct {
	Name string
	// Class is phys, etherstub, vnic or misc (an OPTE port).
	Class string
	Over  string `json:",omitempty"`
	MAC   string `json:",omitempty"`
	VID   int    `json:",omitempty"`
	MTU   int
	Props map[string]string `json:",omitempty"`
	// Plumbed: it has an IP interface.
	Plumbed bool `json:",omitempty"`
	// BusyUntil is when the last reference to it will be gone.
	BusyUntil time.Time
}

// A Dataset is a ZFS filesystem.
type Dataset struct{ Name, Mountpoint string }

// An Address is an address object of ipadm.
type Address struct {
	// Name is LINK/NAME.
	Name string
	Type string
	Addr string
}

// meta is what counts up.
type meta struct {
	NextID    int
	NextUniq  uint64
	NextOrder int
	NextFault int
	NextMAC   int
}

// Options say what host there is and how fast it is. The zero value is a fast
// host with an etherstub underlay_stub0, and underlay0 over it, with an address.
type Options struct {
	// Server is the argv of the server in each zone, in which {addr} (ip:port),
	// {ip}, {port}, {zone} and {root} (the zone's root) are replaced. Empty: the
	// stand-in's own, which answers every HTTP request with 200.
	Server []string
	// Service is the FMRI of the server's instance.
	Service string
	// HaltTime is what halting a running zone takes at the least: 20ms by
	// default, where an illumos kernel takes 1s. Processes are killed again
	// each time this has passed.
	HaltTime time.Duration
	// BootTime is what boot and InstallTime what install take.
	BootTime, InstallTime time.Duration
	// RepositoryTime is how long after boot a zone's repository is silent,
	// OnlineTime how long after that the server's service is offline. Both are
	// 5ms by default.
	RepositoryTime, OnlineTime time.Duration
	// ShutdownTimeout limits a clean shutdown: 10s by default.
	ShutdownTimeout time.Duration
	// LinkLinger is for how long a link that left its zone is still busy.
	LinkLinger time.Duration
	// Restarts is how many exits of a server SMF forgives in a boot: 10 by default.
	Restarts int
	// FirstID is the first zone id; the last is 9999.
	FirstID int
	// DebugID makes zoneadm list print an 8th field, as some versions do.
	DebugID bool
	// Links, Datasets and Addresses are what the host has at first. Datasets
	// besides rpool and rpool/zones, which is mounted on Host.ZoneRoot.
	Links     []Link
	Datasets  []Dataset
	Addresses []Address
	// Services are the FMRIs of the global zone's online services.
	Services []string
}

// DefaultService is the FMRI of the Propolis server in its zone.
const DefaultService = "svc:/system/illumos/propolis-server:default"

// singleUser is online before any service that does work.
const singleUser = "svc:/milestone/single-user:default"

func (o Options) withDefaults() Options {
	orDuration := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	orDuration(&o.HaltTime, 20*time.Millisecond)
	orDuration(&o.RepositoryTime, 5*time.Millisecond)
	orDuration(&o.OnlineTime, 5*time.Millisecond)
	orDuration(&o.ShutdownTimeout, 10*time.Second)
	if o.Service == "" {
		o.Service = DefaultService
	}
	if o.Restarts == 0 {
		o.Restarts = 10
	}
	if o.FirstID == 0 {
		o.FirstID = 1
	}
	if o.Links == nil {
		o.Links = []Link{{Name: "underlay_stub0", Class: "etherstub", MTU: 9000},
			{Name: "underlay0", Class: "vnic", Over: "underlay_stub0", MTU: 9000, Plumbed: true}}
	}
	if o.Addresses == nil {
		o.Addresses = []Address{{Name: "underlay0/ll", Type: "addrconf", Addr: "fe80::8:20ff:fe00:1%underlay0/10"},
			{Name: "underlay0/sled6", Type: "static", Addr: "fd00:1122:3344:101::1/64"}}
	}
	return o
}
