package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A request is what zoneadm asks of zoneadmd, a reply what it says.
type request struct {
	Verb string
	Args []string
}

type reply struct {
	Exit int
	Text string
}

// ping asks zoneadmd for nothing, dismiss to end.
const (
	ping    = "ping"
	dismiss = "dismiss"
)

// inherited in the environment, it makes zoneadm take no lock.
const lockHeldVariable = "_ZONEADM_LOCK_HELD"

// lockZone takes the zone's lock, waiting for as long as it takes.
func (h *host) lockZone(zone string) (unlock func()) {
	if os.Getenv(lockHeldVariable) == "1" {
		return func() {}
	}
	h.hold(LockHeld, func(f *Fault) bool { return f.Object == "" || f.Object == zone })
	f := must(os.OpenFile(h.path("run", zone+".zoneadm.lock"), os.O_CREATE|os.O_RDWR, 0o600))
	h.until(func() bool { return tryLock(f) })
	return func() { check(f.Close()) }
}

func tryLock(f *os.File) bool {
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINTR) {
		return false
	}
	check(err)
	return true
}

// door is the path of a zone's door below the state directory, where every
// process that uses it has its working directory: the path of a socket has to
// be short.
func (h *host) door(zone string) string {
	check(os.Chdir(h.path("run")))
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(zone))
	return fmt.Sprintf("%x.door", sum.Sum64())
}

// callDoor asks zoneadmd and waits for its reply, for as long as it takes.
func (h *host) callDoor(zone string, r request) (reply, error) {
	conn, err := net.Dial("unix", h.door(zone))
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return reply{}, err
	}
	var answer reply
	answered := make(chan error, 1)
	go func() { answered <- json.NewDecoder(conn).Decode(&answer) }()
	for {
		select {
		case err := <-answered:
			return answer, err
		case <-time.After(100 * time.Millisecond):
			if h.closing() {
				return reply{}, errors.New("the host is taken down")
			}
		}
	}
}

// answers tells whether the zone has a zoneadmd.
func (h *host) answers(zone string) bool {
	_, err := h.callDoor(zone, request{Verb: ping})
	return err == nil
}

// startZoneadmd returns when the zone's zoneadmd listens.
func (h *host) startZoneadmd(zone string) error {
	r, w := must2(os.Pipe())
	defer r.Close()
	cmd := exec.Command(h.program, "zoneadmd", zone)
	cmd.Env = h.marker("")
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	log := must(os.OpenFile(h.path("zoneadmd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600))
	defer log.Close()
	cmd.Stderr = log
	err := cmd.Start()
	check(w.Close())
	if err != nil {
		return err
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("start zoneadmd of %s: it ended", zone)
	}
	return nil
}

// dismissZoneadmd ends the zone's zoneadmd, if there is one, after what it does
// now. It refuses while the zone is active.
func (h *host) dismissZoneadmd(zone string) {
	_, _ = h.callDoor(zone, request{Verb: dismiss})
}

func must2[A, B any](a A, b B, err error) (A, B) {
	check(err)
	return a, b
}
