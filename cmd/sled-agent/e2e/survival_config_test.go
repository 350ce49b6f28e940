//go:build linux

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A bad configuration ends the agent with 96, after which no service manager retries. One that cannot be
// read at the moment ends it with 95.
func TestExitCodesOfTheConfiguration(t *testing.T) {
	h := newProcessHarness(t, setup{})
	good := writeConfig(t, h.dir, h.config)
	pipe, bad := filepath.Join(h.dir, "pipe"), filepath.Join(h.dir, "bad")
	must(t, unix.Mkfifo(pipe, 0o600), os.WriteFile(bad, []byte("typo = 1\n"), 0o600))
	for _, c := range []struct {
		file, command string
		want          int
		says          string
	}{
		{"/proc/self/mem", "run", 95, "input/output error"}, // Its first byte cannot be read.
		{good + ".none", "run", 96, "no such file"},
		{h.dir, "run", 96, "is a directory"},
		{pipe, "run", 96, "a pipe"},
		{"/dev/zero", "run", 96, "not a regular file"},
		{good + "/x", "check", 96, "not a directory"},
		{bad, "run", 96, "unknown key"},
		{good, "check", 0, ""},
	} {
		a := h.spawnBy(h.setup.program, c.command, "--config", c.file)
		if code := a.exitCode(t); code != c.want {
			t.Errorf("%s: exit code %d, want %d: %s", c.file, code, c.want, a.log())
		}
		if c.says != "" {
			a.logs(t, "sled-agent: ", c.says)
		}
	}
}

// Only the agent's user and root may be able to change the agent's state.
func TestStateDirectoryOfOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(h *harness) error
		says    string
	}{
		"writable for all":       {func(h *harness) error { return mkdir(h.stateDir(), 0o777) }, "others can write"},
		"writable for the group": {func(h *harness) error { return mkdir(h.stateDir(), 0o770) }, "others can write"},
		"in a shared place":      {func(h *harness) error { return os.Chmod(h.dir, 0o777) }, "any user can replace it"},
		"a file":                 {func(h *harness) error { return os.WriteFile(h.stateDir(), nil, 0o600) }, "not a directory"},
		"another user's": {func(h *harness) error {
			return first(mkdir(h.stateDir(), 0o700), os.Chown(h.stateDir(), 12345, -1))
		}, "belongs to user 12345"},
		"another user's link": {func(h *harness) error {
			return first(mkdir(h.dir+"/real", 0o700), os.Symlink(h.dir+"/real", h.stateDir()), os.Lchown(h.stateDir(), 12345, -1))
		}, "belongs to user 12345"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "another") && os.Geteuid() != 0 {
				t.Skip("this takes root")
			}
			h := newProcessHarness(t, setup{})
			must(t, c.prepare(h))
			a := h.spawn()
			if code := a.exitCode(t); code != 95 {
				t.Errorf("exit code %d", code)
			}
			a.logs(t, "sled-agent: ", "state directory", c.says)
			if names, _ := filepath.Glob(h.state("*")); len(names) > 0 {
				t.Errorf("the agent made %q", names)
			}
		})
	}
}

func mkdir(path string, mode os.FileMode) error {
	return first(os.Mkdir(path, mode), os.Chmod(path, mode))
}

// first returns the first error, which may have caused the others.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A link by the agent's user or root to another directory is allowed.
func TestStateDirectoryBehindALink(t *testing.T) {
	h := newProcessHarness(t, setup{})
	must(t, mkdir(h.dir+"/real", 0o755), os.Symlink(h.dir+"/real", h.stateDir()))
	h.start()
	v := h.launch()
	v.stop(never)
	v.gone()
}

// Links in the state directory are not followed when the agent makes its files.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"agent.lock", "ledger.db.new", "sled_id.new", "sled-agent.log"} {
		t.Run(name, func(t *testing.T) {
			h := newProcessHarness(t, setup{})
			elsewhere := filepath.Join(h.dir, "elsewhere")
			must(t, os.WriteFile(elsewhere, []byte("precious"), 0o644), mkdir(h.stateDir(), 0o700), os.Symlink(elsewhere, h.state(name)))
			if name == "sled-agent.log" {
				h.stderr = fullDisk(t)
			}
			a := h.spawn()
			if name != "agent.lock" {
				h.serves(a)
				h.terminate()
			} else if code := a.exitCode(t); code != 95 {
				t.Errorf("exit code %d", code)
			}
			text, err := os.ReadFile(elsewhere)
			must(t, err)
			info, err := os.Stat(elsewhere)
			must(t, err)
			if string(text) != "precious" || info.Mode() != 0o644 {
				t.Errorf("the file elsewhere is %q, %v", text, info.Mode())
			}
		})
	}
}

// A removed socket is made again, with the same mode, and so is one that was replaced, once its replacement
// is removed.
func TestSocketIsMadeAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		directory bool // The socket's directory is removed.
		replaced  bool // A file takes its place.
	}{
		{"removed", false, false}, {"replaced by a file", false, true},
		{"directory removed", true, false}, {"directory replaced by a file", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newProcessHarness(t, setup{})
			socket := filepath.Join(h.dir, "run", "a.sock")
			h.table("admin")["socket"] = socket
			a := h.start()
			removed := socket
			if c.directory {
				removed = filepath.Dir(socket)
			}
			must(t, os.RemoveAll(removed))
			if c.replaced {
				must(t, os.WriteFile(removed, nil, 0o600))
			}
			a.logs(t, "part of the agent failed", "admin.socket")
			if c.replaced {
				must(t, os.Remove(removed))
			}
			waitFor(t, func() string {
				info, err := os.Lstat(socket)
				if err != nil {
					return err.Error()
				}
				if info.Mode() != os.ModeSocket|0o600 {
					return "the socket is " + info.Mode().String()
				}
				return ""
			})
			a.logs(t, `"message":"recovered"`, "admin.socket")
			h.call("GET", "/zones", nil).wants(t, http.StatusOK)
			if left, _ := filepath.Glob(filepath.Dir(socket) + "/.s*"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}
