package qemu

import (
	"fmt"
	"net"
	"os"
)

// BridgePrefix begins the value of Options.Net for a bridge.
const BridgePrefix = "bridge="

// CheckBridge returns an error unless the host has a bridge of that name.
func CheckBridge(name string) error {
	if _, err := net.InterfaceByName(name); err != nil {
		return fmt.Errorf("bridge %q: %w", name, err)
	}
	if _, err := os.Stat("/sys/class/net/" + name + "/bridge"); err != nil {
		return fmt.Errorf("%q is not a bridge: %w", name, err)
	}
	return nil
}

// Options are what is the same for every VM of a server.
type Options struct {
	// Program is QEMU's file.
	Program string
	// Dir is the directory of the ConsoleFile.
	Dir string
	// User is whom QEMU runs as; nil for the server's own user.
	User *User
	// Accel is "kvm", "tcg", or "auto" for kvm if a guest proves that it works.
	Accel string
	// Net is how network backends are realized: "none", "user" (QEMU's own network stack), "tap" (the
	// tap device with the VNIC's name) or "bridge=NAME" (a port of that bridge).
	Net string
	// Kernel, Initrd and Append boot a kernel directly; empty for none.
	Kernel, Initrd, Append string
	// CrucibleDir has a file ID.raw in place of each Crucible volume; empty for none.
	CrucibleDir string
}
