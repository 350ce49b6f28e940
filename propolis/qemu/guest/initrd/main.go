// Command initrd writes the initial file system of the tests' guest to standard output: an
// archive that the kernel unpacks, with one program and a few modules of the kernel.
//
//	initrd INIT MODULES_DIR
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// modules are those of Debian's cloud kernel that the guest needs, each after those that it
// depends on. NVMe and serial ports are in the kernel itself.
var modules = []string{
	"drivers/acpi/button.ko", "drivers/input/evdev.ko",
	"drivers/misc/pvpanic/pvpanic.ko", "drivers/misc/pvpanic/pvpanic-pci.ko",
	"drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko",
	"drivers/virtio/virtio_pci_modern_dev.ko", "drivers/virtio/virtio_pci_legacy_dev.ko", "drivers/virtio/virtio_pci.ko",
	"drivers/block/virtio_blk.ko",
	"net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko",
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: initrd INIT MODULES_DIR")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "initrd:", err)
		os.Exit(1)
	}
}

func write(w io.Writer, init, dir string) error {
	program, err := os.ReadFile(init)
	if err != nil {
		return err
	}
	var a archive
	a.add("init", 0o100755, program)
	a.add("modules", 0o040755, nil)
	// Without its node the first process has no console, since devtmpfs is not mounted yet.
	a.add("dev", 0o040755, nil)
	a.device("dev/console", 0o020600, 5, 1)
	for i, name := range modules {
		module, err := os.ReadFile(filepath.Join(dir, "kernel", name))
		if err != nil {
			return err
		}
		a.add(fmt.Sprintf("modules/%02d-%s", i, filepath.Base(name)), 0o100644, module)
	}
	a.add("TRAILER!!!", 0, nil)
	_, err = w.Write(a.Bytes())
	return err
}

// An archive is a cpio archive of the format "newc", which is all the kernel reads.
type archive struct {
	bytes.Buffer
	entries int
}

func (a *archive) add(name string, mode uint32, content []byte) {
	a.entry(name, mode, 0, 0, content)
}

func (a *archive) device(name string, mode, major, minor uint32) {
	a.entry(name, mode, major, minor, nil)
}

func (a *archive) entry(name string, mode, major, minor uint32, content []byte) {
	a.entries++
	a.WriteString("070701")
	for _, field := range []uint32{uint32(a.entries), mode, 0, 0, 1, 0, uint32(len(content)), 0, 0, major, minor,
		uint32(len(name) + 1), 0} {
		fmt.Fprintf(a, "%08x", field)
	}
	a.WriteString(name + "\x00")
	a.pad()
	a.Write(content)
	a.pad()
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad() { a.Write(make([]byte, -a.Len()&3)) }
