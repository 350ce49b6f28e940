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
	p, err := newPlan(spec, h.o, h.accel, h.o.Dir)
	if err != nil {
		return err
	}
	for name, d := range p.disks {
		if d.content != nil {
			continue
		}
		if f, err := os.Stat(d.path); err != nil {
			return fmt.Errorf("component %q: %w", name, err)
		} else if !f.Mode().IsRegular() && f.Mode().Type() != os.ModeDevice {
			return fmt.Errorf("component %q: %s is neither a file nor a block device", name, d.path)
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

// prepare makes the private directory of a VM, with its blobs, and the plan for QEMU.
func (h *Host) prepare(spec json.RawMessage) (*plan, string, error) {
	dir, err := os.MkdirTemp(h.o.Dir, "qemu-")
	if err != nil {
		return nil, "", fmt.Errorf("make directory for QEMU: %w", err)
	}
	p, err := newPlan(spec, h.o, h.accel, dir)
	if err != nil {
		return nil, dir, err
	}
	for name, d := range p.disks {
		if d.content == nil {
			continue
		}
		if err := os.WriteFile(d.path, d.content, 0o600); err != nil {
			return nil, dir, fmt.Errorf("component %q: %w", name, err)
		}
	}
	return p, dir, nil
}
