package standin

import "slices"

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
	Name, State string
	Config      Config
	// Links are the datalinks that the zone got when it became ready. A later change
	// of the configuration does not affect them.
	Links []string
	// UUID is empty unless the zone is installed or incomplete.
	UUID string
	// ID is the kernel's id of an active zone, new at each boot; 0 otherwise.
	ID int
	// Order is the position in the index file.
	Order int
	// InitPID and ServerPID are the zone's init and server; 0 if there is none.
	InitPID, ServerPID int
	// Repository reports whether the zone's svc.configd answers.
	Repository bool
	// Service is the server's.
	Service Service
	// Properties of the service, set from the profile at the first boot.
	Properties map[string]string
}

// Active reports whether the kernel knows the zone.
func (z *Zone) Active() bool {
	return !slices.Contains([]string{Configured, Incomplete, Installed}, z.State)
}

// holds reports whether a datalink is in the zone. The kernel returns links when the
// last process has ended.
func (z *Zone) holds(link string) bool {
	return z.Active() && z.State != Down && slices.Contains(z.Links, link)
}

// A Service is the state of an SMF instance.
type Service struct {
	State string
	// Next is the state to which it is changing, "-" if none.
	Next   string
	Reason string
}

// A Link is a datalink.
type Link struct {
	Name string
	// Class is phys, etherstub, vnic or vlan.
	Class     string
	Over, MAC string
	MTU       int
}

// A Dataset is a ZFS filesystem.
type Dataset struct{ Name, Mountpoint string }

// An Address is an address object of ipadm.
type Address struct {
	// Name is LINK/NAME.
	Name, Type, Addr string
}

// Options configure a host. With the zero value it has an etherstub underlay_stub0,
// and underlay0 over it with default addresses.
type Options struct {
	// Server is the argv of the server in each zone. {addr} (ip:port), {ip}, {port},
	// {zone} and {root} (the zone's root) are replaced. If empty, it is the
	// stand-in's own server, which answers every HTTP request with 200.
	Server []string
	// Addresses replace the default addresses.
	Addresses []Address
}

// FMRIs of the services: the Propolis server in a zone, the milestone that is online
// before it, and the service that the brand omicron1 needs in the global zone.
const (
	DefaultService = "svc:/system/illumos/propolis-server:default"
	singleUser     = "svc:/milestone/single-user:default"
	baseline       = "svc:/system/omicron/baseline:default"
)

var defaultLinks = []Link{
	{Name: "underlay_stub0", Class: "etherstub", MTU: 9000},
	{Name: "underlay0", Class: "vnic", Over: "underlay_stub0", MTU: 9000},
	{Name: "underlay_vlan0", Class: "vlan", Over: "underlay_stub0", MTU: 9000},
}

var defaultAddresses = []Address{
	{Name: "underlay0/ll", Type: "addrconf", Addr: "fe80::8:20ff:fe00:1%underlay0/10"},
	{Name: "underlay0/sled6", Type: "static", Addr: "fd00:1122:3344:101::1/64"},
	{Name: "underlay0/local4", Type: "static", Addr: "127.0.0.2/8"},
	{Name: "underlay0/local6", Type: "static", Addr: "::2/64"},
}
