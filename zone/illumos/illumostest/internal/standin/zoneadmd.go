package standin

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A zoneadmd does to one zone what changes the kernel's view of it, one request
// at a time. It lives in a session of its own and finishes what it began
// whether or not the client is still there.
type zoneadmd struct {
	*host
	zone string
	// busy is held while a request is worked on.
	busy     sync.Mutex
	shutting atomic.Bool
	// init is the zone's init as long as it is to run, else 0.
	init atomic.Int64
}

// zoneadmd is the main function of a zoneadmd process. Descriptor 3 is told
// when it listens.
func (h *host) zoneadmd(zone string) int {
	d := &zoneadmd{host: h, zone: zone}
	only := must(os.OpenFile(h.path("run", zone+".zoneadmd"), os.O_CREATE|os.O_RDWR, 0o600))
	defer only.Close()
	if !tryLock(only) {
		return 1
	}
	adoptOrphans()
	if z, ok := h.Zones.Get(zone); ok {
		d.init.Store(int64(z.InitPID))
	}
	door := h.door(zone)
	_ = os.Remove(door)
	listener := must(net.Listen("unix", door))
	ready := os.NewFile(3, "ready")
	must(ready.Write([]byte{1}))
	check(ready.Close())
	go d.watch()
	for {
		conn, err := listener.Accept()
		check(err)
		go d.serve(conn)
	}
}

// watch starts init again when it ended and nobody meant it to, as the kernel
// does, and ends the process once there is no such zone, or no host.
func (d *zoneadmd) watch() {
	defer endInTrouble()
	for n := 1; ; n++ {
		time.Sleep(50 * time.Millisecond)
		reapOrphans()
		if init := int(d.init.Load()); init != 0 && !alive(init) {
			d.restartInit(init)
		}
		if _, ok := d.Zones.Get(d.zone); n%10 == 0 && !ok || d.closing() {
			os.Exit(0)
		}
	}
}

func (d *zoneadmd) serve(conn net.Conn) {
	defer endInTrouble()
	defer conn.Close()
	var r request
	if json.NewDecoder(conn).Decode(&r) != nil {
		return
	}
	switch r.Verb {
	case ping:
		_ = json.NewEncoder(conn).Encode(reply{})
		return
	case dismiss:
		d.dismissed()
		_ = json.NewEncoder(conn).Encode(reply{1, "the zone is active"})
		return
	}
	// The client may be gone by now; nobody minds.
	_ = json.NewEncoder(conn).Encode(d.handle(r))
}

// dismissed ends the process, once nothing is under way, unless the zone is active.
func (d *zoneadmd) dismissed() {
	d.busy.Lock()
	defer d.busy.Unlock()
	if !d.active() {
		os.Exit(0)
	}
}

func (d *zoneadmd) handle(r request) reply {
	if r.Verb == "shutdown" {
		if !d.shutting.CompareAndSwap(false, true) {
			return reply{1, "shutdown already in progress"}
		}
		defer d.shutting.Store(false)
	}
	d.busy.Lock()
	defer d.busy.Unlock()
	if f := d.strike(d.occasion(Before, r.Verb, "")); f != nil {
		return reply{f.Exit, f.Text}
	}
	var answer reply
	switch r.Verb {
	case "boot":
		answer = d.boot()
	case "ready":
		answer = d.ready()
	case "halt":
		answer = d.halt("halt")
	case "shutdown":
		answer = d.shutdown(r.Args)
	}
	if f := d.strike(d.occasion(After, r.Verb, "")); f != nil {
		return reply{f.Exit, f.Text}
	}
	return answer
}

func (d *zoneadmd) occasion(when, verb, state string) occasion {
	return occasion{when: when, command: "zoneadmd", verb: verb, object: d.zone, state: state}
}

func (d *zoneadmd) state() string {
	z, ok := d.Zones.Get(d.zone)
	if !ok {
		return ""
	}
	return z.State
}

func (d *zoneadmd) boot() reply {
	switch d.state() {
	case Running, ShuttingDown, Down:
		return reply{0, "zone is already booted"}
	case Installed:
		if r := d.bringUp("boot"); r.Exit != 0 {
			return r
		}
	case Ready:
	default:
		return reply{1, "must be installed before boot."}
	}
	time.Sleep(d.Options().BootTime)
	if f := d.strike(d.occasion(During, "boot", Ready)); f != nil {
		d.tearDown("boot")
		return reply{f.Exit, f.Text}
	}
	d.startInit()
	return reply{}
}

func (d *zoneadmd) ready() reply {
	switch d.state() {
	case Ready:
		return reply{0, "zone is already ready"}
	case Installed:
		return d.bringUp("ready")
	}
	return reply{1, "zone is already booted"}
}

// bringUp makes an installed zone ready, or leaves it installed.
func (d *zoneadmd) bringUp(verb string) reply {
	var problem string
	d.Locked(func() {
		z, _ := d.Zones.Get(d.zone)
		if problem = d.unbootable(z); problem != "" {
			return
		}
		d.count(func(m *meta) {
			z.ID, m.NextID = d.freeID(m.NextID)
			z.UniqID, m.NextUniq = m.NextUniq, m.NextUniq+1
		})
		z.State, z.Booted, z.Services, z.Links = Ready, time.Now(), nil, z.Config.Links()
		d.Zones.put(d.zone, z)
	})
	if problem != "" {
		return reply{1, problem}
	}
	return reply{}
}

// freeID returns the first id from next on that no active zone has, and where
// to look next. Ids go to 9999 and begin again.
func (s *Store) freeID(next int) (id, after int) {
	taken := make(map[int]bool)
	for _, z := range s.Zones.All() {
		taken[z.ID] = z.Active() || taken[z.ID]
	}
	for taken[next] || next > 9999 {
		if next++; next > 9999 {
			next = 1
		}
	}
	return next, next + 1
}

// unbootable says why a zone cannot be made ready.
func (d *zoneadmd) unbootable(z *Zone) string {
	if _, err := os.Stat(z.Config.Zonepath + "/root"); err != nil {
		return "could not stat " + z.Config.Zonepath + "/root/sbin/init: No such file or directory"
	}
	seen := make(map[string]bool)
	zones := d.Zones.All()
	for _, link := range z.Config.Links() {
		if _, ok := d.Links.Get(link); !ok {
			return "failed to add network device " + link + ": object not found"
		}
		if seen[link] {
			return "failed to add network device " + link + ": object already exists"
		}
		seen[link] = true
		for _, other := range zones {
			if other.holds(link) {
				return "failed to add network device " + link + ": it is used by zone " + other.Name
			}
		}
	}
	return ""
}

// shutdown asks the zone's services to stop and halts it when they have.
func (d *zoneadmd) shutdown(args []string) reply {
	if d.state() != Running {
		return reply{1, "zone is not running"}
	}
	if !d.stopInit(d.Options().ShutdownTimeout) {
		return reply{1, "unable to shutdown zone"}
	}
	r := d.halt("shutdown")
	if r.Exit == 0 && strings.Contains(strings.Join(args, " "), "-r") {
		return d.boot()
	}
	return r
}
