package illumostest

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// begin starts a command that is not expected to end by itself for now.
func (h *Host) begin(name string, args ...string) *exec.Cmd {
	h.t.Helper()
	cmd := h.Command(name, args...)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return cmd
}

// murder kills a command and waits for its end.
func murder(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the command ended well before it was killed")
	}
}

// Killing the client of a halt or a boot does not end the operation.
func TestKilledClient(t *testing.T) {
	h := install(t, Options{})
	h.installed("z", "ox0")
	boot := h.Inject(Fault{Do: Hang, When: During, Command: "zoneadmd", Verb: "boot", Object: "z"})
	client := h.begin("zoneadm", "-z", "z", "boot")
	boot.WaitStruck(1)
	if got := h.State("z"); got != "ready" {
		t.Errorf("in the middle of boot the zone is %s", got)
	}
	murder(t, client)
	boot.Release()
	h.online("z")

	halt := h.Inject(Fault{Do: Stuck, Object: "z", State: "shutting_down"})
	client = h.begin("zoneadm", "-z", "z", "halt")
	halt.WaitStruck(1)
	murder(t, client)
	if got := h.State("z"); got != "shutting_down" {
		t.Errorf("in the middle of halt the zone is %s", got)
	}
	halt.Release()
	h.Eventually("the halt ends", func() bool { return h.State("z") == "installed" })
}

// A killed install or uninstall leaves the zone incomplete, and its lock free.
func TestKilledInstall(t *testing.T) {
	h := install(t, Options{})
	h.configure("z")
	for _, args := range [][]string{{"install", h.Images()[0]}, {"uninstall", "-F"}} {
		f := h.Inject(Fault{Do: Hang, When: During, Command: "zoneadm", Verb: args[0], Object: "z"})
		client := h.begin("zoneadm", append([]string{"-z", "z"}, args...)...)
		f.WaitStruck(1)
		murder(t, client)
		f.Release()
		if got := h.State("z"); got != "incomplete" {
			t.Errorf("killed %s leaves the zone %s", args[0], got)
		}
	}
	h.ok("zoneadm", "-z", "z", "uninstall", "-F")
	h.Inject(Fault{Do: Die, When: During, Command: "zoneadm", Verb: "install", Times: 1})
	h.want(-1, "", "zoneadm", "-z", "z", "install", h.Images()[0])
	if got := h.State("z"); got != "incomplete" {
		t.Errorf("an install that dies leaves the zone %s", got)
	}
}

// When zoneadmd dies, the zone stays where it was until the next halt.
func TestZoneadmdDies(t *testing.T) {
	h := install(t, Options{})
	for _, state := range []string{"shutting_down", "down"} {
		h.bring("z", "")
		h.Run("dladm", "delete-vnic", "ox0")
		h.running("z", "ox0")
		h.online("z")
		h.Inject(Fault{Do: Die, When: During, Command: "zoneadmd", Verb: "halt", State: state, Times: 1})
		h.want(1, "call to zoneadmd failed", "zoneadm", "-z", "z", "halt")
		if got := h.State("z"); got != state {
			t.Fatalf("zoneadmd died in %s and left the zone %s", state, got)
		}
		if n := len(h.Processes("z")); (n > 0) != (state == "shutting_down") {
			t.Errorf("in %s the zone has %d processes", state, n)
		}
		h.want(0, "WARNING: zone is in state '"+state+"', but zoneadmd does not appear to be available; "+
			"restarted zoneadmd to recover.", "zoneadm", "-z", "z", "halt")
		if got := h.State("z"); got != "installed" {
			t.Errorf("after the second halt the zone is %s", got)
		}
		if left := h.Processes("z"); len(left) > 0 {
			t.Errorf("after the second halt processes %v are left", left)
		}
	}
	h.Inject(Fault{Do: Die, When: During, Command: "zoneadmd", Verb: "boot", Times: 1})
	h.want(1, "call to zoneadmd failed", "zoneadm", "-z", "z", "boot")
	if got := h.State("z"); got != "ready" {
		t.Errorf("zoneadmd died in boot and left the zone %s", got)
	}
	h.want(0, "WARNING", "zoneadm", "-z", "z", "halt")
}

// An uninstall waits for a boot that is under way and was not yet to be seen; it
// leaves the zone and its zoneadmd be then.
func TestUninstallDuringBoot(t *testing.T) {
	h := install(t, Options{})
	h.installed("z", "ox0")
	slow := h.Inject(Fault{Do: Hang, Command: "zoneadmd", Verb: "boot"})
	boot := h.begin("zoneadm", "-z", "z", "boot")
	slow.WaitStruck(1)
	if got := h.State("z"); got != "installed" {
		t.Errorf("at the beginning of a boot the zone is %s", got)
	}
	uninstalled := make(chan Result, 1)
	go func() { uninstalled <- h.Run("zoneadm", "-z", "z", "uninstall", "-F") }()
	h.Eventually("the uninstall has begun", func() bool { c := h.Calls(); return c[len(c)-1].Args[2] == "uninstall" })
	slow.Release()
	if err := boot.Wait(); err != nil {
		t.Errorf("boot: %v", err)
	}
	// It may have begun to look only when the boot was done.
	if r := <-uninstalled; r.Exit != 1 || !strings.Contains(r.ErrOut, "uninstall operation is invalid for running zones.") {
		t.Errorf("uninstall: %+v", r)
	}
	if r := h.want(0, "", "zoneadm", "-z", "z", "halt"); strings.Contains(r.ErrOut, "WARNING") {
		t.Error("the zoneadmd of a zone that runs was ended")
	}
}

// zoneadm ignores SIGHUP, and works in the root directory.
func TestZoneadmSurroundings(t *testing.T) {
	h := install(t, Options{})
	h.configure("z")
	hang := h.Inject(Fault{Do: Hang, When: During, Command: "zoneadm", Verb: "install"})
	client := h.begin("zoneadm", "-z", "z", "install", h.Images()[0])
	hang.WaitStruck(1)
	if err := client.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hang.Release()
	if err := client.Wait(); err != nil {
		t.Errorf("an install that was sent SIGHUP: %v", err)
	}
	h.bring("z", "configured")
	dir, file := filepath.Split(h.Images()[0])
	relative := h.Command("zoneadm", "-z", "z", "install", file)
	relative.Dir = dir
	if r := h.finish(relative); r.Exit != 1 || !strings.Contains(r.ErrOut, "cannot read image") {
		t.Errorf("an install of a relative path: %+v", r)
	}
}

// A second halt waits for the first and then finds nothing to do.
func TestHaltsQueue(t *testing.T) {
	h := install(t, Options{})
	h.running("z", "ox0")
	stuck := h.Inject(Fault{Do: Stuck, Object: "z", State: "down"})
	first := h.begin("zoneadm", "-z", "z", "halt")
	stuck.WaitStruck(1)
	second := h.Command("zoneadm", "-z", "z", "halt")
	var text strings.Builder
	second.Stderr = &text
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	stuck.Release()
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	if err := second.Wait(); err != nil || !strings.Contains(text.String(), "already halted") {
		t.Errorf("the second halt: %v, %q", err, text.String())
	}
}

func TestShutdown(t *testing.T) {
	h := install(t, Options{ShutdownTimeout: time.Nanosecond,
		Server: []string{"/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"}})
	h.running("z", "ox0")
	h.online("z")
	h.want(1, "unable to shutdown zone", "zoneadm", "-z", "z", "shutdown")
	if got := h.State("z"); got != "running" {
		t.Errorf("a shutdown that takes too long leaves the zone %s", got)
	}
	f := h.Inject(Fault{Do: Hang, Command: "zoneadmd", Verb: "shutdown"})
	first := h.begin("zoneadm", "-z", "z", "shutdown")
	f.WaitStruck(1)
	h.want(1, "shutdown already in progress", "zoneadm", "-z", "z", "shutdown")
	f.Release()
	_ = first.Wait()
	h.ok("zoneadm", "-z", "z", "halt")
}

// A zone command waits for the lock for as long as somebody has it.
func TestLock(t *testing.T) {
	h := install(t, Options{})
	h.configure("z")
	held := h.Inject(Fault{Do: LockHeld, Object: "z"})
	client := h.begin("zoneadm", "-z", "z", "install", h.Images()[0])
	held.WaitStruck(1)
	if got := h.State("z"); got != "configured" {
		t.Errorf("without the lock the zone became %s", got)
	}
	// What is inherited by mistake makes the lock none.
	command := h.Command("zoneadm", "-z", "z", "install", "/nonexistent")
	command.Env = []string{"_ZONEADM_LOCK_HELD=1"}
	careless := h.finish(command)
	if careless.Exit != 1 || h.State("z") != "incomplete" {
		t.Errorf("_ZONEADM_LOCK_HELD was not heeded: %v, %s", careless, h.State("z"))
	}
	held.Release()
	if err := client.Wait(); err == nil {
		t.Error("the install did not see what was done behind its back")
	}
	calls := h.Calls()
	if last := calls[len(calls)-1]; len(last.Env) != 1 || last.Env[0] != "_ZONEADM_LOCK_HELD" {
		t.Errorf("the call was noted with environment %v", last.Env)
	}
}

// An install holds the zone's real lock while it works.
func TestInstallHoldsLock(t *testing.T) {
	h := install(t, Options{})
	h.configure("z")
	f := h.Inject(Fault{Do: Hang, When: During, Command: "zoneadm", Verb: "install", Times: 1})
	first := h.begin("zoneadm", "-z", "z", "install", h.Images()[0])
	f.WaitStruck(1)
	second := h.begin("zoneadm", "-z", "z", "uninstall", "-F")
	h.Eventually("the uninstall has begun", func() bool { c := h.Calls(); return c[len(c)-1].Args[2] == "uninstall" })
	f.Release()
	if err := first.Wait(); err != nil {
		t.Errorf("install: %v", err)
	}
	if err := second.Wait(); err != nil || h.State("z") != "configured" {
		t.Errorf("uninstall: %v; the zone is %s", err, h.State("z"))
	}
}

func TestPkill(t *testing.T) {
	h := install(t, Options{Server: []string{"/bin/sh", "-c", "setsid sleep 1000 & exec sleep 1001"}})
	h.want(2, "unknown zone", "pkill", "-9", "-z", "z")
	h.want(2, "", "pkill", "-9")
	h.running("z", "ox0")
	processes := func(n int) func() bool { return func() bool { return len(h.Processes("z")) == n } }
	h.Eventually("init, server and its detached child", processes(3))
	h.want(1, "", "pgrep", "-z", "z", "nothing-like-this")
	if n := strings.Count(h.ok("pgrep", "-z", "z"), "\n"); n != 3 {
		t.Errorf("pgrep finds %d", n)
	}
	before, _ := h.Zone("z")
	h.ok("pkill", "-9", "-z", "z")
	h.Eventually("the kernel has started init again", func() bool {
		now, _ := h.Zone("z")
		return now.InitPID != before.InitPID && len(h.Processes("z")) == 3
	})
	if slices.Contains(h.Processes("z"), before.ServerPID) {
		t.Error("the server survived pkill")
	}
	h.ok("zoneadm", "-z", "z", "halt")
	if left := h.Processes("z"); len(left) > 0 {
		t.Errorf("halt left %v", left)
	}
}

func TestUnkillable(t *testing.T) {
	h := install(t, Options{})
	h.running("z", "ox0")
	h.online("z")
	f := h.Inject(Fault{Do: Unkillable, Object: "z"})
	before := h.Processes("z")
	h.ok("pkill", "-9", "-z", "z")
	halt := h.begin("zoneadm", "-z", "z", "halt")
	f.WaitStruck(5)
	if got, left := h.State("z"), h.Processes("z"); got != "shutting_down" || len(left) != len(before) {
		t.Errorf("the zone is %s and has processes %v of %v", got, left, before)
	}
	f.Release()
	if err := halt.Wait(); err != nil || h.State("z") != "installed" {
		t.Errorf("halt after all: %v, %s", err, h.State("z"))
	}
}

// Faults that any command can have.
func TestFaults(t *testing.T) {
	h := install(t, Options{})
	h.configure("z")
	fail := h.Inject(Fault{Do: Fail, Command: "zoneadm", Verb: "list", Exit: 14, Text: "raw", Times: 2})
	h.want(14, "raw", "zoneadm", "list", "-cip")
	h.ok("dladm", "show-vnic", "-p", "-o", "LINK")
	h.want(14, "raw", "zoneadm", "list", "-cip")
	h.ok("zoneadm", "list", "-cip")
	if fail.Struck() != 2 {
		t.Errorf("it struck %d times", fail.Struck())
	}
	h.Inject(Fault{Do: Fail, When: After, Command: "zoneadm", Verb: "install", Text: "lied", Times: 1})
	h.want(1, "lied", "zoneadm", "-z", "z", "install", h.Images()[0])
	if h.State("z") != "installed" {
		t.Errorf("the install that failed afterwards left the zone %s", h.State("z"))
	}
	slow := h.Inject(Fault{Do: Slow, Delay: 50 * time.Millisecond, Command: "zoneadm"})
	begun := time.Now()
	h.ok("zoneadm", "list")
	if took := time.Since(begun); took < 50*time.Millisecond {
		t.Errorf("a slow command took %v", took)
	}
	slow.Release()
	hang := h.Inject(Fault{Do: Hang, When: After, Command: "zonecfg", Verb: "delete", Object: "z"})
	client := h.begin("zonecfg", "-z", "z", "delete", "-F")
	hang.WaitStruck(1)
	if h.State("z") != "" {
		t.Error("the command hangs before its work instead of after it")
	}
	hang.Release()
	if err := client.Wait(); err != nil {
		t.Error(err)
	}
	busy := h.Run(filepath.Base(h.Program()), "fault", `{"Do":"fail","Command":"zfs","Text":"from a shell"}`)
	h.want(1, "from a shell", "zfs", "list")
	h.ok(filepath.Base(h.Program()), "fault", "release", strings.TrimSpace(busy.Out))
	h.ok("zfs", "list")
}

func TestBusyMounts(t *testing.T) {
	h := install(t, Options{})
	h.installed("z", "ox0")
	h.Inject(Fault{Do: BusyMounts, Object: "z", Times: 1})
	h.want(1, "These file systems are mounted on subdirectories of "+h.ZoneRoot()+"/z", "zoneadm", "-z", "z", "uninstall", "-F")
	if h.State("z") != "installed" {
		t.Errorf("the zone is %s", h.State("z"))
	}
}

// Close ends what hangs and leaves nothing.
func TestClose(t *testing.T) {
	h := install(t, Options{})
	h.running("z", "ox0")
	h.online("z")
	h.Inject(Fault{Do: Hang, Command: "dladm"})
	stuck := h.Inject(Fault{Do: Stuck, Object: "z", State: "down"})
	hung := []*exec.Cmd{h.begin("dladm", "show-link"), h.begin("zoneadm", "-z", "z", "halt")}
	stuck.WaitStruck(1)
	h.Close()
	for _, cmd := range hung {
		if err := cmd.Wait(); err == nil {
			t.Error("a command that hung ended well")
		}
	}
	if left := h.Processes(""); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}
