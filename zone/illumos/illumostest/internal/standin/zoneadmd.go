package standin

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// haltTime is the shortest time of a halt of a running zone; an illumos kernel takes
// 1s. Processes are killed again after each haltTime.
const haltTime = 20 * time.Millisecond

// A zoneadmd boots and halts one zone, one request at a time. It has a session of its
// own, and finishes a request even if the client has ended.
type zoneadmd struct {
	*host
	zone string
	// busy is held while a request is handled.
	busy sync.Mutex
	// init is the pid of the zone's init while that should run, else 0.
	init atomic.Int64
}

// zoneadmd is the main function of a zoneadmd process. It writes a byte to descriptor
// 3 when it listens.
func (h *host) zoneadmd(zone string) int {
	d := &zoneadmd{host: h, zone: zone}
	only := must(os.OpenFile(h.path("run", zone+".zoneadmd"), os.O_CREATE|os.O_RDWR, 0o600))
	defer only.Close()
	if !tryLock(only) {
		return 1
	}
	adoptOrphans()
	d.init.Store(int64(d.now().InitPID))
	door := h.door(zone)
	_ = os.Remove(door)
	listener := must(net.Listen("unix", door))
	ready := os.NewFile(3, "ready")
	must(ready.Write([]byte{1}))
	check(ready.Close())
	go orEnd(d.watch)
	for {
		conn := must(listener.Accept())
		go orEnd(func() { d.serve(conn) })
	}
}

// watch restarts an init that ended unexpectedly, as the kernel does. It ends the
// process when the zone no longer exists or the host is closed.
func (d *zoneadmd) watch() {
	for n := 1; ; n++ {
		time.Sleep(50 * time.Millisecond)
		reapOrphans()
		if init := d.init.Load(); init != 0 && !alive(int(init)) {
			d.restartInit(init)
		}
		if n%10 == 0 && d.now().State == "" || d.closing() {
			os.Exit(0)
		}
	}
}

func (d *zoneadmd) restartInit(old int64) {
	d.busy.Lock()
	defer d.busy.Unlock()
	if d.init.Load() == old && d.now().State == Running {
		d.startInit()
	}
}

// reapOrphans waits for children that have ended. It reports whether others live.
func reapOrphans() (living bool) {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
			return err == nil
		}
	}
}

// now returns the current zone. Its State is empty if the zone does not exist.
func (d *zoneadmd) now() *Zone {
	z, _ := d.Zones.Get(d.zone)
	return z
}

func (d *zoneadmd) serve(conn net.Conn) {
	defer conn.Close()
	var verb string
	if json.NewDecoder(conn).Decode(&verb) == nil {
		// The client may have ended.
		_ = json.NewEncoder(conn).Encode(d.handle(verb))
	}
}

func (d *zoneadmd) handle(verb string) reply {
	if verb == ping {
		return reply{}
	}
	d.busy.Lock()
	defer d.busy.Unlock()
	if verb == dismiss {
		if !d.now().Active() {
			os.Exit(0)
		}
		return reply{1, "the zone is active"}
	}
	if f := d.fault(Before, verb, ""); f != nil {
		return *f
	}
	answer := map[string]func() reply{"boot": d.boot, "ready": d.ready, "halt": d.halt}[verb]()
	if f := d.fault(After, verb, ""); f != nil {
		return *f
	}
	return answer
}

// fault applies faults and returns the reply of a failed request, or nil.
func (d *zoneadmd) fault(when, verb, state string) *reply {
	return failed(d.apply(point{when: when, command: "zoneadmd", verb: verb, object: d.zone, state: state}))
}

func failed(f *Fault) *reply {
	if f == nil {
		return nil
	}
	return &reply{f.Exit, f.Text}
}

func (d *zoneadmd) boot() reply {
	switch d.now().State {
	case Running, ShuttingDown, Down:
		return reply{0, "zone is already booted"}
	case Installed:
		if problem := d.bringUp(); problem != "" {
			return reply{1, problem}
		}
	}
	f := failed(d.brandHook("boot", d.zone))
	if f == nil {
		f = d.fault(During, "boot", Ready)
	}
	if f != nil {
		d.destroy()
		return *f
	}
	d.startInit()
	return reply{}
}

func (d *zoneadmd) ready() reply {
	if d.now().Active() {
		return reply{1, "zone is already ready or booted"}
	}
	problem := d.bringUp()
	return reply{min(1, len(problem)), problem}
}

// bringUp makes an installed zone ready, or returns why it cannot.
func (d *zoneadmd) bringUp() (problem string) {
	d.Locked(func() {
		z := d.now()
		if problem = d.unbootable(z); problem != "" {
			return
		}
		z.ID, z.State, z.Links = d.next("zone"), Ready, z.Config.Links()
		d.Zones.put(d.zone, z)
	})
	return problem
}

// unbootable returns why a zone cannot be made ready, or "".
func (d *zoneadmd) unbootable(z *Zone) string {
	if z.State != Installed {
		return "must be installed before boot."
	}
	if _, err := os.Stat(z.Config.root()); err != nil {
		return "could not stat " + z.Config.root() + "/sbin/init: No such file or directory"
	}
	seen := make(map[string]bool)
	for _, link := range z.Config.Links() {
		const failed = "failed to add network device "
		_, there := d.Links.Get(link)
		switch owner := d.zoneOf(link); {
		case !there:
			return failed + link + ": object not found"
		case seen[link]:
			return failed + link + ": object already exists"
		case owner != "":
			return failed + link + ": it is used by zone " + owner
		}
		seen[link] = true
	}
	return ""
}

// halt takes the zone from any active state to installed. It continues a halt that
// an earlier zoneadmd did not finish.
func (d *zoneadmd) halt() reply {
	from := d.now()
	if !from.Active() {
		return reply{0, "zone is already halted"}
	}
	d.init.Store(0)
	if from.State != Down {
		if f := d.enter(ShuttingDown); f != nil {
			return *f
		}
		if from.State != Ready { // a ready zone has no processes
			d.endProcesses()
		}
	}
	if f := d.enter(Down); f != nil {
		return *f
	}
	if f := failed(d.brandHook("halt", d.zone)); f != nil {
		return reply{f.Exit, f.Text + "\nunable to destroy zone"}
	}
	d.destroy()
	return reply{}
}

// enter enters a state of the teardown and applies faults of that state.
func (d *zoneadmd) enter(state string) *reply {
	d.Change(d.zone, func(z *Zone) {
		z.State = state
		if state == Down {
			z.InitPID, z.ServerPID, z.Repository = 0, 0, false
		}
	})
	return d.fault(During, "halt", state)
}

// endProcesses kills the processes of the zone until none is left, as the kernel
// does. It takes at least haltTime and has no time limit. A process has no environment
// while it executes its program: then it is known as a child, since init has ended.
func (d *zoneadmd) endProcesses() {
	ended := func() bool { return !reapOrphans() && len(d.Processes(d.zone)) == 0 }
	for first := true; first || !ended(); first = false {
		d.killZone(d.zone)
		deadline := time.Now().Add(haltTime)
		d.until(func() bool { return time.Now().After(deadline) || !first && ended() })
	}
}

// destroy frees the kernel's state of the zone.
func (d *zoneadmd) destroy() {
	d.Change(d.zone, func(z *Zone) {
		z.State, z.ID, z.Links, z.Service = Installed, 0, nil, Service{}
		z.InitPID, z.ServerPID, z.Repository = 0, 0, false
	})
}

// A reply is zoneadmd's answer to a verb. ping does nothing, dismiss ends zoneadmd.
type reply struct {
	Exit int
	Text string
}

const (
	ping    = "ping"
	dismiss = "dismiss"
)

// door changes to the directory of zoneadmd's sockets and returns the relative path
// of one, since the path of a socket must be short.
func (h *host) door(zone string) string {
	check(os.Chdir(h.path("run")))
	return zone + ".door"
}

// callDoor sends a verb to zoneadmd and waits for its reply without limit.
func (h *host) callDoor(zone, verb string) (answer reply, err error) {
	conn, err := net.Dial("unix", h.door(zone))
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(verb); err != nil {
		return reply{}, err
	}
	err = json.NewDecoder(conn).Decode(&answer)
	return answer, err
}

// startZoneadmd starts the zone's zoneadmd and waits until it listens.
func (h *host) startZoneadmd(zone string) {
	r, w, err := os.Pipe()
	check(err)
	defer r.Close()
	cmd := h.process("", h.program, "zoneadmd", zone)
	cmd.ExtraFiles = []*os.File{w}
	log := must(os.OpenFile(h.path("zoneadmd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600))
	defer log.Close()
	cmd.Stderr = log
	err = cmd.Start()
	check(w.Close())
	check(err)
	_, _ = r.Read(make([]byte, 1)) // if it has ended, callDoor fails
}

// lockZone takes the zone's lock and waits for it without limit.
func (h *host) lockZone(zone string) (unlock func()) {
	f := must(os.OpenFile(h.path("run", filepath.Base(zone)+".zoneadm.lock"), os.O_CREATE|os.O_RDWR, 0o600))
	h.until(func() bool { return tryLock(f) })
	return func() { check(f.Close()) }
}

func tryLock(f *os.File) bool {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK || err == syscall.EINTR {
		return false
	}
	check(err)
	return true
}
