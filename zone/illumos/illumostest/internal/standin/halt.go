package standin

import (
	"os"
	"strings"
	"syscall"
	"time"
)

// halt takes the zone to installed from wherever it is.
func (d *zoneadmd) halt(verb string) reply {
	if !d.active() {
		return reply{0, "zone is already halted"}
	}
	return d.tearDown(verb)
}

func (d *zoneadmd) active() bool {
	z, ok := d.Zones.Get(d.zone)
	return ok && z.Active()
}

// tearDown goes on from the state in which an earlier one was left.
func (d *zoneadmd) tearDown(verb string) reply {
	d.init.Store(0)
	if from := d.state(); from != Down {
		if f := d.linger(verb, ShuttingDown); f != nil {
			return reply{f.Exit, f.Text}
		}
		if from != Ready { // nothing was ever started in it
			d.endProcesses()
		}
	}
	if f := d.linger(verb, Down); f != nil {
		return reply{f.Exit, f.Text}
	}
	d.destroy()
	return reply{}
}

// linger enters a state of the teardown and is the occasion for what goes wrong
// in it.
func (d *zoneadmd) linger(verb, state string) *Fault {
	d.Change(d.zone, func(z *Zone) {
		if state == Down {
			d.giveBackLinks(z)
			z.InitPID, z.ServerPID, z.Repository = 0, 0, false
		}
		z.State = state
	})
	if f := d.strike(d.occasion(During, verb, state)); f != nil {
		return f
	}
	d.hold(Stuck, func(f *Fault) bool {
		return f.State == state && (f.Object == "" || f.Object == d.zone)
	})
	return nil
}

// giveBackLinks needs the lock.
func (d *zoneadmd) giveBackLinks(z *Zone) {
	linger := d.Options().LinkLinger
	for _, name := range z.Links {
		if l, ok := d.Links.Get(name); ok && linger > 0 && z.holds(name) {
			l.BusyUntil = time.Now().Add(linger)
			d.Links.put(name, l)
		}
	}
}

// endProcesses kills every process of the zone until there is none, as the
// kernel does: no sooner than HaltTime, and with no limit of time.
func (d *zoneadmd) endProcesses() {
	interval := d.Options().HaltTime
	for first := true; first || len(d.Processes(d.zone)) > 0; first = false {
		d.killZone(d.zone, syscall.SIGKILL)
		deadline := time.Now().Add(interval)
		d.until(func() bool {
			reapOrphans()
			return time.Now().After(deadline) || !first && len(d.Processes(d.zone)) == 0
		})
	}
}

// destroy frees what the kernel still has of the zone.
func (d *zoneadmd) destroy() {
	_ = os.Remove(d.VM(d.zone))
	d.Change(d.zone, func(z *Zone) {
		z.State, z.ID, z.UniqID, z.Links = Installed, 0, 0, nil
		z.InitPID, z.ServerPID, z.Repository = 0, 0, false
		z.Services, z.Requests = nil, nil
	})
}

// VM is the path of the zone's virtual machine in the host's /dev/vmm. It is
// there from the start of the zone's server to the end of the zone, and is
// called what follows the last underscore of the zone's name.
func (s *Store) VM(zone string) string {
	return s.path("vmm", zone[strings.LastIndexByte(zone, '_')+1:])
}
