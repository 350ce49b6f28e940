// Command guest is the only program of the tests' guest: the first process of a Linux that has
// nothing else. It is a program and not a script for a shell, because it must load modules, read
// the events of the power button and touch memory, and so the guest needs no other program.
//
// It prints "guest up" and its uptime to the console each second, and obeys lines from there:
//
//	reboot, poweroff   at once
//	panic              a panic of the kernel
//	hang               say and do nothing any more, whatever happens
//	fill N             take N MiB of memory and keep it
//	ignore             ignore the power button from now on
//	churn              write to that memory all the time
//	journal            write a number to each sector of the first disk, one every few milliseconds, and
//	                   "guest journal full" at its end
//
// It powers off when the power button is pressed, unless the kernel's command line has
// button=ignore.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: not the first process of a guest")
		os.Exit(2)
	}
	mount()
	loadModules()
	lines, button := make(chan string), make(chan struct{})
	go readLines(lines)
	if f := openButton(); f != nil {
		go readButton(f, button)
	} else {
		fmt.Println("guest has no power button")
	}
	fmt.Println("guest disks", disks())
	// The seconds are counted, so that none is left out after a pause.
	seconds := 0
	for second := time.Tick(time.Second); ; {
		fmt.Printf("guest up %d\n", seconds)
		select {
		case <-second:
			seconds++
		case line := <-lines:
			if err := obey(line); err != nil {
				fmt.Printf("guest cannot %q: %v\n", line, err)
			}
		case <-button:
			fmt.Println("guest power button")
			if !ignoring {
				halt(unix.LINUX_REBOOT_CMD_POWER_OFF)
			}
		}
	}
}

func mount() {
	for dir, kind := range map[string]string{"/dev": "devtmpfs", "/proc": "proc", "/sys": "sysfs"} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mount(kind, dir, kind, 0, "")); err != nil {
			fmt.Printf("guest cannot mount %s: %v\n", dir, err)
		}
	}
}

// loadModules loads all modules of the initial file system, in the order of their names.
func loadModules() {
	names, _ := filepath.Glob("/modules/*.ko")
	for _, name := range names {
		f, err := os.Open(name)
		if err == nil {
			err = unix.FinitModule(int(f.Fd()), "", 0)
			f.Close()
		}
		if err != nil {
			fmt.Printf("guest cannot load %s: %v\n", name, err)
		}
	}
}

// openButton opens the power button's device, which appears a while after its module was loaded.
// There are others, of a keyboard for example. It returns nil if there is none.
func openButton() *os.File {
	for range 1000 {
		devices, _ := filepath.Glob("/sys/class/input/event*")
		for _, device := range devices {
			name, _ := os.ReadFile(device + "/device/name")
			if strings.TrimSpace(string(name)) != "Power Button" {
				continue
			}
			if f, err := os.Open("/dev/input/" + filepath.Base(device)); err == nil {
				return f
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func disks() []string {
	names, _ := filepath.Glob("/sys/block/*")
	for i := range names {
		size, _ := os.ReadFile(names[i] + "/size") // in sectors of 512 bytes
		ro, _ := os.ReadFile(names[i] + "/ro")
		names[i] = filepath.Base(names[i]) + ":" + strings.TrimSpace(string(size)) + ":" + strings.TrimSpace(string(ro))
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "loop") })
}

func readLines(lines chan<- string) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		lines <- strings.TrimSpace(in.Text())
	}
}

// readButton reports each press of the button.
func readButton(f io.Reader, pressed chan<- struct{}) {
	const size, evKey, keyPower = 24, 1, 116 // linux/input.h, linux/input-event-codes.h
	for event := make([]byte, size); ; {
		if _, err := io.ReadFull(f, event); err != nil {
			return
		}
		kind, code, value := binary.LittleEndian.Uint16(event[16:]), binary.LittleEndian.Uint16(event[18:]), binary.LittleEndian.Uint32(event[20:])
		if kind == evKey && code == keyPower && value == 1 {
			pressed <- struct{}{}
		}
	}
}

// filled is kept until the guest ends.
var filled [][]byte

// ignoring: the power button has no effect.
var ignoring = os.Getenv("button") == "ignore"

func obey(line string) error {
	switch what, value, _ := strings.Cut(line, " "); what {
	case "":
	case "reboot":
		halt(unix.LINUX_REBOOT_CMD_RESTART)
	case "poweroff":
		halt(unix.LINUX_REBOOT_CMD_POWER_OFF)
	case "ignore":
		ignoring = true
		fmt.Println("guest ignores its power button")
	case "panic":
		return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "hang":
		fmt.Println("guest hangs")
		select {}
	case "journal":
		go journal("/dev/vda")
	case "churn":
		go churn()
	case "fill":
		mib, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		for range mib {
			page := make([]byte, 1<<20)
			for i := 0; i < len(page); i += os.Getpagesize() {
				page[i] = 1
			}
			filled = append(filled, page)
		}
		fmt.Printf("guest filled %d MiB\n", len(filled))
	default:
		return errors.New("no such command")
	}
	return nil
}

// churn writes to the memory that was filled, with no end.
func churn() {
	for n := byte(0); ; n++ {
		for _, page := range filled {
			for i := 0; i < len(page); i += os.Getpagesize() {
				page[i] = n
			}
		}
	}
}

// journal writes the numbers from 1 on to the sectors of a disk, each after the last one is on the disk.
func journal(name string) {
	const size = 512
	f, err := os.OpenFile(name, os.O_WRONLY|unix.O_DSYNC, 0)
	if err != nil {
		fmt.Println("guest cannot", err)
		return
	}
	for n, sector := uint64(0), make([]byte, size); ; n++ {
		binary.LittleEndian.PutUint64(sector, n+1)
		_, err := f.WriteAt(sector, int64(n*size))
		switch {
		case errors.Is(err, unix.ENOSPC):
			fmt.Println("guest journal full")
			return
		case err != nil:
			fmt.Println("guest cannot", err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func halt(how int) {
	unix.Sync()
	fmt.Println("guest cannot end:", unix.Reboot(how))
}
