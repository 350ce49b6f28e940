//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An obstacle makes one of the agent's parts fail.
type obstacle struct {
	// part is the name in the log and the admin API.
	part string
	put  func(*harness) (remove func())
}

var obstacles = map[string]obstacle{
	"API address taken": {"api.listen", func(h *harness) func() { return h.take(h.addr) }},
	"metrics address taken": {"admin.metrics", func(h *harness) func() {
		return h.take(h.table("admin")["metrics"].(string))
	}},
	"file in the socket's place": {"admin.socket", func(h *harness) func() {
		h.replaceFile("admin.sock", "")
		return func() { must(h.t, os.Remove(h.state("admin.sock"))) }
	}},
	"empty sled id":  obstacleAtSledID(func(h *harness, id string) { h.replaceFile("sled_id", "") }),
	"half a sled id": obstacleAtSledID(func(h *harness, id string) { h.replaceFile("sled_id", id[:10]) }),
	"pipe in the sled id's place": obstacleAtSledID(func(h *harness, id string) {
		must(h.t, os.Remove(h.state("sled_id")), unix.Mkfifo(h.state("sled_id"), 0o600))
	}),
}

func obstacleAtSledID(change func(h *harness, id string)) obstacle {
	return obstacle{"sled_id", func(h *harness) func() {
		id, err := os.ReadFile(h.state("sled_id"))
		must(h.t, err)
		change(h, string(id))
		return func() { h.replaceFile("sled_id", string(id)) }
	}}
}

// take occupies an address.
func (h *harness) take(addr string) (release func()) {
	h.t.Helper()
	var l net.Listener
	waitFor(h.t, func() (missing string) {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			return err.Error()
		}
		return ""
	})
	h.t.Cleanup(func() { _ = l.Close() })
	return func() { _ = l.Close() }
}

// replaceFile replaces the state directory's entry of this name by a file.
func (h *harness) replaceFile(name, text string) {
	h.t.Helper()
	must(h.t, os.RemoveAll(h.state(name)), os.WriteFile(h.state(name), []byte(text), 0o600))
}

// An agent with VMMs starts even if its servers fail: it keeps the deadlines, reports the failed parts, and
// recovers when the obstacle is removed.
func TestDeadlinesComeFirst(t *testing.T) {
	t.Parallel()
	for name, o := range obstacles {
		t.Run(name, func(t *testing.T) {
			m := newServiceManager(t, true)
			h := newProcessHarness(t, setup{env: [][]string{nil, m.env(time.Second)}})
			h.table("admin")["metrics"] = freeAddr(t).String()
			a := h.start()
			v := faults("hang-stop").launch(h)
			v.stop(2 * time.Second)
			a.kill()
			remove := o.put(h)
			a = h.spawn()
			a.logs(t, "part of the agent failed", o.part)
			v.gone()
			m.waitsFor("READY=1")
			if o.part != "admin.socket" {
				if about := h.about(); len(about.Troubles) == 0 {
					t.Errorf("the agent is in trouble and says %+v", about)
				}
				if n := h.metric("sled_agent_parts_failing"); n != 1 {
					t.Errorf("%v parts fail", n)
				}
			}
			if o.part == "sled_id" {
				h.call("GET", "/sled-identifiers", nil).wants(t, 503)
			}
			remove()
			a.logs(t, `"message":"recovered"`, o.part)
			h.serves(a)
			h.launch()
			if about := h.about(); len(about.Troubles) > 0 {
				t.Errorf("afterwards: %+v", about)
			}
		})
	}
}

// Without VMMs the same obstacle ends the start, with the reason.
func TestStartWithoutVMMsFails(t *testing.T) {
	t.Parallel()
	for name, o := range obstacles {
		t.Run(name, func(t *testing.T) {
			h := newProcessHarness(t, setup{})
			h.table("admin")["metrics"] = freeAddr(t).String()
			h.start()
			h.terminate()
			o.put(h)
			a := h.spawn()
			if code := a.exitCode(t); code != 95 {
				t.Errorf("exit code %d", code)
			}
			words := strings.ReplaceAll(o.part, "_", " ")
			if o.part == "api.listen" {
				words = h.addr
			}
			a.logs(t, "sled-agent: ", words)
		})
	}
}

// A full disk does not keep an agent with VMMs from starting.
func TestStartOnAFullDisk(t *testing.T) {
	h := newProcessHarness(t, setup{})
	must(t, os.Mkdir(h.stateDir(), 0o700))
	if err := unix.Mount("none", h.stateDir(), "tmpfs", 0, "size=4m,mode=700"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(h.stateDir(), unix.MNT_DETACH) })
	a := h.start()
	v := faults("hang-stop").launch(h)
	v.stop(2 * time.Second)
	a.kill()
	must(t, os.Remove(h.state("admin.sock")))
	free := fillDisk(t, h.stateDir())
	a = h.spawn()
	v.gone()
	a.runs(t)
	free()
	h.serves(a)
	waitFor(t, func() string {
		if _, err := h.admin.About(bounded(t)); err != nil {
			return err.Error()
		}
		return ""
	})
	h.terminate()
}

// fillDisk leaves no space for another block or directory entry.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "fill")
	f, err := os.Create(path)
	must(t, err)
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	_ = f.Close()
	for n, err := 0, error(nil); err == nil && n < 10_000; n++ {
		err = os.Mkdir(fmt.Sprint(path, strings.Repeat("x", 200), n), 0o700)
	}
	return func() {
		for _, path := range named(dir, "fill") {
			_ = os.Remove(path) // It is no longer needed.
		}
	}
}

// A terminated agent exits, whatever hangs.
func TestTermination(t *testing.T) {
	t.Parallel()
	t.Run("service manager reads nothing", func(t *testing.T) {
		m := newServiceManager(t, false)
		h := newProcessHarness(t, setup{env: [][]string{m.env(time.Second)}})
		h.start()
		v := faults("hang-stop").launch(h)
		v.stop(time.Second)
		v.gone()
	})
	t.Run("commands of the host hang", func(t *testing.T) {
		h := newProcessHarness(t, setup{})
		bin := filepath.Join(h.dir, "bin")
		must(t, os.Mkdir(bin, 0o700))
		for _, name := range []string{"zoneadm", "zonecfg", "zlogin", "dladm", "ipadm", "svcs", "svccfg", "svcadm", "svcprop", "zonename", "kstat", "pkill", "ps"} {
			must(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\ntrap '' TERM\nsleep 300\n"), 0o700))
		}
		h.config["zones"] = section{"backend": "illumos", "illumos": section{"command_path": bin, "vmmctl": "", "zone_root": filepath.Join(h.dir, "zones")}}
		h.spawn().logs(t, `"message":"starting"`)
		h.terminate()
	})
	for _, name := range []string{"agent.lock", "ledger.db", "sled_id"} {
		t.Run("pipe in the place of "+name, func(t *testing.T) {
			h := newProcessHarness(t, setup{})
			must(t, os.Mkdir(h.stateDir(), 0o700), unix.Mkfifo(h.state(name), 0o600))
			a := h.spawn()
			if code := a.exitCode(t); code != 95 {
				t.Errorf("exit code %d", code)
			}
			a.logs(t, name, "not a")
		})
	}
	t.Run("at any moment of the start", func(t *testing.T) {
		h := newProcessHarness(t, setup{})
		for delay := range 10 {
			h.spawn().logs(t, `"message":"starting"`)
			pause(time.Duration(delay) * 5 * time.Millisecond) // This varies what happens meanwhile.
			h.terminate()
		}
	})
}
