package qemu

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const tunDevice = "/dev/net/tun"

func newMemFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("qemu", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "memory"), nil
}

// open connects with the device. A new one exists as long as its file is open somewhere.
func (t *tap) open() (*os.File, error) {
	if t.name != "" {
		if _, err := net.InterfaceByName(t.name); err != nil {
			return nil, fmt.Errorf("tap device %q: %w", t.name, err)
		}
	}
	f, name, err := attach(t.name)
	if err != nil || t.bridge == "" {
		return f, err
	}
	if err := t.addTo(name); err != nil {
		f.Close()
		return nil, fmt.Errorf("add tap device %s to bridge %q: %w", name, t.bridge, err)
	}
	return f, nil
}

// attach opens a tap device, or a new one if it has no name.
func attach(name string) (f *os.File, as string, err error) {
	wish := name
	if wish == "" {
		wish = "qemu%d" // The kernel takes a free number.
	}
	req, err := unix.NewIfreq(wish)
	if err != nil {
		return nil, "", fmt.Errorf("tap device %q: %w", name, err)
	}
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", tunDevice, err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, "", fmt.Errorf("open tap device %q: %w", name, err)
	}
	return os.NewFile(uintptr(fd), tunDevice), req.Name(), nil
}

// addTo makes a new device a port of the bridge.
func (t *tap) addTo(name string) error {
	bridge, err := net.InterfaceByName(t.bridge)
	if err != nil {
		return err
	}
	port, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(t.mac)
	if err != nil {
		return err
	}
	mac[0] = 0xfe // A bridge may take the lowest address of its ports for its own. This one is high.
	return setLink(unix.IfInfomsg{Index: int32(port.Index), Flags: unix.IFF_UP, Change: unix.IFF_UP},
		attribute(unix.IFLA_ADDRESS, mac),
		attribute(unix.IFLA_MTU, number(bridge.MTU)), // A port with a smaller one may lower the bridge's.
		attribute(unix.IFLA_MASTER, number(bridge.Index)))
}
