package qemu

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFindUser(t *testing.T) {
	t.Parallel()
	own := strconv.Itoa(os.Geteuid())
	if u, err := FindUser(own); u != nil || err != nil {
		t.Errorf("its own: %v, %v", u, err)
	}
	if os.Geteuid() != 0 {
		if u, err := FindUser(""); u != nil || err != nil {
			t.Errorf("none: %v, %v", u, err)
		}
		if _, err := FindUser("0"); err == nil || !strings.Contains(err.Error(), "only root can start QEMU as another user") {
			t.Errorf("another: %v", err)
		}
		return
	}
	u, err := FindUser("")
	if err != nil || u == nil || u.UID == 0 || u.GID == 0 {
		t.Errorf("none: %v, %v", u, err)
	}
	if u, err := FindUser("112400"); err != nil || u == nil || u.UID != 112400 || u.GID != 112400 {
		t.Errorf("a number without an account: %v, %v", u, err)
	}
}

// QEMU gets a copy of a kernel that its user may not read, and else the file itself.
func TestOpenBoot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, []byte("kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, same := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o604: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		f, err := openBoot(path, &User{UID: 1 << 20, GID: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		of, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil || os.SameFile(of, st) != same {
			t.Errorf("with mode %o: it is %v, %v", mode, st, err)
		}
		again, err := os.Open(nameOfFD(int(f.Fd())))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(again); err != nil || string(text) != "kernel" {
			t.Errorf("with mode %o: read %q, %v", mode, text, err)
		}
		again.Close()
		f.Close()
	}
}

// A QEMU of root's server has another user, and neither privileges nor a way to get some. Its disk
// is root's.
func TestRealGuestUser(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	var pid int
	p.source.api.Enter(func() { pid = p.source.vm.child.cmd.Process.Pid })
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2"}
	if os.Geteuid() == 0 {
		u, err := FindUser("")
		if err != nil {
			t.Fatal(err)
		}
		id := func(n uint32) string { return strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d ", n), 4)) }
		want["Uid"], want["Gid"], want["CapEff"], want["CapPrm"] = id(u.UID), id(u.GID), strings.Repeat("0", 16), strings.Repeat("0", 16)
	} else {
		t.Log("this test is not root: QEMU has its user")
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if got, wanted := strings.Join(strings.Fields(value), " "), want[key]; wanted != "" && got != wanted {
			t.Errorf("QEMU has %s %s, want %s", key, got, wanted)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("the kernel does not say %v", want)
	}
	p.source.types("journal")
	p.source.says("guest journal full", 0)
}
