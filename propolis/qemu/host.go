package qemu

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/propolis/server"
)

// A Host makes the Machines of a server.
type Host struct {
	o     Options
	accel string
	log   zerolog.Logger
	// live: a guest runs while its memory is sent to another server. With TCG, QEMU loses some of
	// what the guest writes meanwhile (seen with 7.2), so it is paused before.
	live bool
	// machines counts those that are not released yet.
	machines sync.WaitGroup
}

// NewHost returns a Host whose VMs use an accelerator that Accelerator has chosen.
func NewHost(o Options, accel string, log zerolog.Logger) *Host {
	return &Host{o: o, accel: accel, log: log, live: accel != "tcg"}
}

// Check returns an error if QEMU cannot make a VM. It names the component. What arrives by migration
// is known later.
func (h *Host) Check(e *server.Ensured) error {
	if e.Target {
		return nil
	}
	return h.checkSpec(e.Spec)
}

func (h *Host) checkSpec(spec json.RawMessage) error {
	p, err := newPlan(spec, h.o, h.accel)
	if err != nil {
		return err
	}
	for name, d := range p.disks {
		if d.content != nil {
			continue
		}
		f, err := os.Stat(d.path)
		if err == nil {
			err = isDisk(d.path, f)
		}
		if err != nil {
			return fmt.Errorf("component %q: %w", name, err)
		}
	}
	return nil
}

// Make returns the Machine of a new VM.
func (h *Host) Make(vm *server.VM) server.Machine {
	return newMachine(h, vm)
}

// Wait waits until all Machines that were closed have released everything.
func (h *Host) Wait() { h.machines.Wait() }

// prepare makes the plan for QEMU and opens the files that it inherits. ids identify those of the
// disks.
func (h *Host) prepare(spec json.RawMessage) (p *plan, files []*os.File, ids map[string]string, err error) {
	if p, err = newPlan(spec, h.o, h.accel); err != nil {
		return nil, nil, nil, err
	}
	if files, err = openAll(p.inherits, h.o.User); err != nil {
		return nil, nil, nil, err
	}
	if err = p.useDevices(files); err == nil {
		ids, err = fileIDs(p.disks, files)
	}
	if err != nil {
		closeAll(files)
		return nil, nil, nil, err
	}
	return p, files, ids, nil
}

// useDevices has QEMU use those files of disks that are block devices as such.
func (p *plan) useDevices(files []*os.File) error {
	for name, d := range p.disks {
		st, err := files[d.fd-firstFD].Stat()
		if err != nil {
			return fmt.Errorf("component %q: %w", name, err)
		}
		if st.Mode()&os.ModeDevice != 0 {
			p.args[d.arg] = d.blockdev("host_device")
		}
	}
	return nil
}
