package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// termBudget is how long a program may take to end after SIGTERM.
	termBudget = 2 * time.Second
	// pipeBudget is how long to wait for the output of a dead command, which another
	// process may have inherited.
	pipeBudget = 2 * time.Second
	// tailLines is how many log lines an error quotes.
	tailLines = 12
	// pollEvery is the interval of polls.
	pollEvery = 50 * time.Millisecond
)

// A program is a process that the demo has started. It is in its own process group, so
// that Ctrl-C reaches only the demo, which then ends everything in order.
type program struct {
	name, log string
	process   *os.Process
	exited    chan struct{}
	err       error // set before exited is closed
}

// start runs a program whose standard error goes to a file in dir.
func start(dir, path string, args ...string) (*program, error) {
	name := filepath.Base(path)
	p := &program{name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(path, args...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.process = cmd.Process
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// said waits for a line of the program's log with this key, and returns its value.
func (p *program) said(ctx context.Context, key string) (value string, err error) {
	line := regexp.MustCompile(`"` + key + `":"([^"]+)"`)
	err = await(ctx, func() bool {
		text, _ := os.ReadFile(p.log) // Without a log, the next attempt or the error follows.
		if m := line.FindSubmatch(text); m != nil {
			value = string(m[1])
		}
		select {
		case <-p.exited:
			return true
		default:
			return value != ""
		}
	})
	switch {
	case value != "":
		return value, nil
	case err == nil:
		err = fmt.Errorf("ended too early: %w", p.err)
	}
	return "", fmt.Errorf("%s has not logged where it serves: %w; the end of its log:\n%s", p.name, err, p.tail())
}

// tail returns the end of the program's log.
func (p *program) tail() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n  ")
}

// end sends SIGTERM to the program, and SIGKILL if it does not end in time. A nil
// program has ended.
func (p *program) end(budget time.Duration) {
	if p == nil {
		return
	}
	_ = p.process.Signal(syscall.SIGTERM) // It may have ended by itself.
	kill := time.AfterFunc(budget, func() { _ = p.process.Kill() })
	defer kill.Stop()
	<-p.exited
}

// output runs a command and returns what it prints. The command is in its own process
// group, like a program.
func output(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	var out, errOut strings.Builder
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errOut, pipeBudget
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := errors.Join(cmd.Run(), ctx.Err()); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// alive reports whether the process exists, possibly as a zombie.
func alive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// await polls is until it returns true, or returns the context's error.
func await(ctx context.Context, is func() bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// A host is where the agent's zones are, as an operator sees it: this machine, where a
// zone is a process with a directory, or an illumos host.
type host struct {
	// config is the agent's configuration of zones.
	config string
	// lists maps each kind of resource to the command that lists it, one per line.
	lists map[string][]string
	// standin is the program that simulates the illumos host in dir, with its commands
	// in dir/bin. It is empty for this machine.
	standin, dir string
	// guests: the servers have real guests.
	guests bool
}

// newHost returns the host for a backend. On this machine dir is the agent's state
// directory; a simulated illumos host is installed in it.
func newHost(ctx context.Context, backend, bin, dir string) (h *host, err error) {
	h = &host{dir: dir, lists: map[string][]string{"zone directory": {"ls", filepath.Join(dir, "zones")}}}
	switch backend {
	case "process":
		h.config = "[zones]\nbackend = \"process\"\n"
		return h, nil
	case "qemu":
		h.config, h.guests = guestConfig(bin), true
		return h, nil
	}
	h.standin = filepath.Join(bin, "illumos-standin")
	h.lists["zone"] = []string{h.command("zoneadm"), "list", "-cip"}
	h.lists["datalink"] = []string{h.command("dladm"), "show-link", "-p", "-o", "link"}
	h.lists["dataset"] = []string{h.command("zfs"), "list", "-H", "-o", "name"}
	if h.config, err = output(ctx, h.standin, "install", dir, filepath.Join(bin, "propolis-sim"), "run", "{addr}"); err != nil {
		return nil, fmt.Errorf("install an illumos host: %w", err)
	}
	return h, nil
}

func (h *host) command(name string) string { return filepath.Join(h.dir, "bin", name) }

// close ends what still runs on the host. It does nothing for a nil host.
func (h *host) close(ctx context.Context) error {
	if h == nil || h.standin == "" {
		return nil
	}
	_, err := output(ctx, h.standin, "close", h.dir)
	return err
}

// identify returns the process of a zone's server and the names of the zone's
// resources in the lists. Each name must be in the lists now, otherwise its absence
// at the end would prove nothing. first is the zone's first process, if the agent
// knows it.
func (h *host) identify(ctx context.Context, zone string, first int) (pid int, names []string, err error) {
	pid, names = first, []string{zone}
	if h.standin != "" {
		found, err := output(ctx, h.command("pgrep"), "-z", zone, "propolis-sim")
		if err != nil {
			return 0, nil, err
		}
		config, err := output(ctx, h.command("zonecfg"), "-z", zone, "export")
		if err != nil {
			return 0, nil, err
		}
		pid, _ = strconv.Atoi(strings.TrimSpace(found)) // 0 is not alive.
		for line := range strings.Lines(config) {
			if link, ok := strings.CutPrefix(strings.TrimSpace(line), "set physical="); ok {
				names = append(names, strings.Trim(link, `"`))
			}
		}
	}
	if !alive(pid) {
		return 0, nil, fmt.Errorf("zone %s has no process %d", zone, pid)
	}
	found, err := h.look(ctx, names)
	for kind := range h.lists {
		if !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(found, kind+" "+name) }) {
			err = errors.Join(err, fmt.Errorf("%s has no visible %s", zone, kind))
		}
	}
	return pid, names, err
}

// look returns what the lists have under one of the names, each with its kind.
func (h *host) look(ctx context.Context, names []string) (found []string, err error) {
	for kind, command := range h.lists {
		text, err := output(ctx, command[0], command[1:]...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(":/ \n", r) })
			for _, name := range names {
				if slices.Contains(words, name) {
					found = append(found, kind+" "+name)
				}
			}
		}
	}
	slices.Sort(found)
	return found, nil
}
