package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// propolisVersion is that of Propolis's API in which a stop has a time for the guest's power
// button.
const propolisVersion = "7.0.0"

// guestConfig is the agent's configuration for real guests. "make guest" has made their kernel.
func guestConfig(bin string) string {
	argv := []string{filepath.Join(bin, "propolis-qemu"), "run", "--api-version", propolisVersion, "--net", "none",
		"--kernel", filepath.Join(bin, "guest", "kernel"), "--initrd", filepath.Join(bin, "guest", "initrd"),
		"--append", "console=ttyS0 no_timer_check panic=-1 quiet", "{addr}"}
	for i := range argv {
		argv[i] = strconv.Quote(argv[i])
	}
	return fmt.Sprintf(`[zones]
backend = "process"
[zones.process]
propolis = [%s]
[propolis]
api_version = %q
`, strings.Join(argv, ", "), propolisVersion)
}

// prepareGuest waits until the guest has booted and tells it what its role is.
func (d *demo) prepareGuest(ctx context.Context, f facts) error {
	if err := d.shown(ctx, f, "guest up"); err != nil {
		return err
	}
	if f.guest.typed == "" {
		return nil
	}
	if err := d.typed(ctx, f, f.guest.typed); err != nil {
		return err
	}
	return d.shown(ctx, f, f.guest.said)
}

// stopGuest asks for a stop that gives the guest most of the grace to shut down by itself. The
// agent is killed and started again in that time.
func (d *demo) stopGuest(ctx context.Context, f facts, path string) error {
	if f.guest.frozen {
		if err := freeze(f.pid); err != nil {
			return err
		}
	}
	body := fmt.Sprintf(`{"state":{"type":"stopped"},"acpi_timeout_secs":%d}`, max(1, int((d.grace*4/5).Seconds())))
	if err := call(ctx, d.sledAddr(), "PUT", path, body, nil); err != nil || f.guest.dying == "" {
		return err
	}
	return d.typed(ctx, f, f.guest.dying)
}

// restartAgent kills the agent a fifth into the grace, starts another one, and compares the
// uptimes that a guest has shown before and after.
func (d *demo) restartAgent(ctx context.Context) error {
	select {
	case <-time.After(d.grace / 5):
	case <-ctx.Done():
		return ctx.Err()
	}
	witness := d.look()[1] // It is alive for most of the grace.
	before, err := d.uptime(ctx, witness)
	if err != nil {
		return err
	}
	_ = d.agent.process.Kill() // If it has ended, starting another one does no harm.
	<-d.agent.exited
	if err := d.startAgent(ctx); err != nil {
		return fmt.Errorf("start the agent again: %w", err)
	}
	after := before
	err = await(ctx, func() bool {
		seen, err := d.uptime(ctx, witness)
		after = max(after, seen)
		return err != nil || after > before
	})
	if err != nil {
		return err
	}
	if after == before {
		return fmt.Errorf("the %s guest has ended with the agent", witness.name)
	}
	d.unnoticed = fmt.Sprintf("The agent was killed and started again while the guests were stopping.\n"+
		"The %s guest had been up for %d s before, and for %d s after.", witness.name, before, after)
	return nil
}

var uptimes = regexp.MustCompile(`guest up (\d+)`)

// uptime returns the last uptime that the guest has shown on its console, in seconds.
func (d *demo) uptime(ctx context.Context, f facts) (int, error) {
	text, err := d.console(ctx, f)
	if err != nil {
		return 0, err
	}
	all := uptimes.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("the %s guest shows no uptime", f.name)
	}
	return strconv.Atoi(all[len(all)-1][1])
}

// console returns the end of what the guest has shown.
func (d *demo) console(ctx context.Context, f facts) (string, error) {
	var history struct{ Data []byte }
	err := call(ctx, f.addr, "GET", "/instance/serial/history?most_recent=8192", "", &history)
	return string(history.Data), err
}

// shown waits until the guest has shown a text.
func (d *demo) shown(ctx context.Context, f facts, text string) error {
	var last string
	err := await(ctx, func() bool {
		last, _ = d.console(ctx, f) // It may not answer yet.
		return strings.Contains(last, text)
	})
	if err != nil {
		return fmt.Errorf("wait for %q on the %s guest's console: %w; it shows:\n%s", text, f.name, err, last)
	}
	return nil
}

// typed types a line at the guest's console.
func (d *demo) typed(ctx context.Context, f facts, line string) error {
	conn, res, err := websocket.Dial(ctx, "ws://"+f.addr+"/instance/serial", &websocket.DialOptions{
		HTTPHeader: map[string][]string{"api-version": {propolisVersion}}})
	if err != nil {
		return fmt.Errorf("open the %s guest's console: %w", f.name, err)
	}
	if res.Body != nil {
		defer res.Body.Close()
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageBinary, []byte(line+"\n")); err != nil {
		return fmt.Errorf("type at the %s guest's console: %w", f.name, err)
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}

// freeze stops QEMU and the server of the zone with this first process.
func freeze(first int) error {
	all := descendants(first)
	if len(all) < 2 {
		return fmt.Errorf("zone of process %d has no QEMU", first)
	}
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
	}
	return nil
}

// descendants returns the processes below one.
func descendants(pid int) (all []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // The pattern is valid.
	for _, file := range files {
		text, _ := os.ReadFile(file) // The process may have ended.
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

// joined returns the events of an earlier agent that are known, and those of a newer answer. An
// agent that was started again tells those of its own time only.
func joined(known, newer []event) (all []event) {
	if len(newer) == 0 {
		return known
	}
	for _, e := range known {
		if e.At.Before(newer[0].At) {
			all = append(all, e)
		}
	}
	return append(all, newer...)
}
