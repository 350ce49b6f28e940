package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The descriptors that QEMU inherits: sockets without a name, so that nobody else can connect.
const (
	qmpFD = 3 + iota
	consoleFD
)

// common are the arguments of every QEMU. There is no device but those of the spec, no window, no
// configuration file, and no system call to get more rights or to start programs.
var common = []string{"-no-user-config", "-nodefaults", "-display", "none",
	"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}

// machineArgs returns the arguments that choose the machine and its CPU. The API's chipset is always
// i440_fx. Its device numbers fit q35 as well, which has the newer devices.
func machineArgs(accel string) []string {
	cpu := "max"
	if accel == "kvm" {
		cpu = "host"
	}
	return []string{"-machine", "q35,smm=off", "-accel", accel, "-cpu", cpu}
}

// board adds what is not a component.
func (p *planner) board(s *spec, accel string) error {
	switch {
	case s.Board.CPUs == 0:
		return errors.New("board: no CPUs")
	case s.Board.MemoryMB == 0:
		return errors.New("board: no memory")
	case s.Board.CPUID != nil:
		return errors.New("board: cpuid cannot be chosen with QEMU")
	case s.Board.Interface.Type != "" && s.Board.Interface.Type != "bhyve":
		return fmt.Errorf("board: guest_hv_interface %q cannot be chosen with QEMU", s.Board.Interface.Type)
	}
	p.args = append(append(p.args, common...), machineArgs(accel)...)
	p.args = append(p.args, "-smp", fmt.Sprint(s.Board.CPUs), "-m", fmt.Sprintf("size=%dM", s.Board.MemoryMB),
		// The VM is made now and started later. It stays when the guest has ended, until it is known why.
		"-S", "-no-shutdown",
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", qmpFD), "-mon", "chardev=qmp,mode=control")
	if b := s.SMBIOS; b != nil {
		p.args = append(p.args, "-smbios", fmt.Sprintf("type=1,manufacturer=%s,product=%s,version=%d,serial=%s",
			escaped(b.Manufacturer), escaped(b.Product), b.Version, escaped(b.Serial)))
	}
	for _, v := range [][2]string{{"kernel", p.o.Kernel}, {"initrd", p.o.Initrd}} {
		if v[1] != "" {
			p.args = append(p.args, "-"+v[0], nameOfFD(p.inherit(inherited{what: v[0], path: v[1], boot: true})))
		}
	}
	if p.o.Append != "" {
		p.args = append(p.args, "-append", p.o.Append)
	}
	return nil
}

// escaped returns a value for an option of key=value pairs.
func escaped(value string) string { return strings.ReplaceAll(value, ",", ",,") }

func (p *planner) device(properties map[string]any) { p.option("-device", properties) }

// option adds an option as JSON, in which no value can be taken for another key.
func (p *planner) option(name string, value map[string]any) {
	p.args = append(p.args, name, encoded(value))
}

func encoded(value map[string]any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // all of these values can be encoded
	}
	return string(text)
}
