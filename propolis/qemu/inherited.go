package qemu

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"
)

// firstFD is the first descriptor of what a plan has QEMU inherit.
const firstFD = consoleFD + 1

// An inherited is a file that its server opens for QEMU, whose user may not be allowed to.
type inherited struct {
	// what says in errors what it is for.
	what string
	path string
	// content is that of a file which only this QEMU has, if it is not nil.
	content  []byte
	readOnly bool
	// boot: QEMU opens it anew, by the name of the descriptor.
	boot bool
	// tap is set for the host's end of a network card.
	tap *tap
}

// A tap is a network device of the host whose other end is a guest's card.
type tap struct {
	// name is that of a device that exists; empty for a new one.
	name string
	// bridge gets the new device as a port.
	bridge string
	// mac is the guest's.
	mac string
}

// openAll opens what QEMU inherits, in the order of the descriptors.
func openAll(all []inherited, u *User) (files []*os.File, err error) {
	for _, i := range all {
		f, err := i.open(u)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("%s: %w", i.what, err)
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (i inherited) open(u *User) (*os.File, error) {
	switch {
	case i.tap != nil:
		return i.tap.open()
	case i.content != nil:
		return memFile(bytes.NewReader(i.content), i.readOnly)
	case i.boot:
		return openBoot(i.path, u)
	}
	return openDisk(i.path, i.readOnly)
}

// openDisk opens a file or a block device, and nothing on which the open could wait.
func openDisk(path string, readOnly bool) (*os.File, error) {
	how := os.O_RDWR
	if readOnly {
		how = os.O_RDONLY
	}
	f, err := os.OpenFile(path, how|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil {
		err = isDisk(path, st)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isDisk returns an error unless a file can be a disk.
func isDisk(path string, st os.FileInfo) error {
	if !st.Mode().IsRegular() && st.Mode().Type() != os.ModeDevice {
		return fmt.Errorf("%s is neither a file nor a block device", path)
	}
	return nil
}

// openBoot opens a file of which QEMU gets a copy if its user may not read it.
func openBoot(path string, u *User) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && u.reads(st) {
		return f, nil
	}
	defer f.Close()
	if err != nil {
		return nil, err
	}
	return memFile(f, true)
}

// memFile returns a file in memory, which is gone with its last descriptor. Every user may open it
// anew who has that.
func memFile(content io.Reader, readOnly bool) (*os.File, error) {
	f, err := newMemFile()
	if err != nil {
		return nil, fmt.Errorf("make file in memory: %w", err)
	}
	_, err = io.Copy(f, content)
	if err == nil && !readOnly {
		return f, nil
	}
	defer f.Close()
	if err != nil {
		return nil, fmt.Errorf("write file in memory: %w", err)
	}
	return os.Open(nameOfFD(int(f.Fd())))
}

// nameOfFD is a file's name for the process that has it open.
func nameOfFD(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// inherit has QEMU inherit a file, and returns its descriptor there.
func (p *planner) inherit(i inherited) int {
	p.inherits = append(p.inherits, i)
	return firstFD + len(p.inherits) - 1
}
