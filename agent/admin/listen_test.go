package admin_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
)

func TestListenMakesAPrivateSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(filepath.Dir(admintest.Socket(t)), "new", "a.sock")
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	checkMode(t, path, fs.ModeSocket|0o600)
	checkMode(t, filepath.Dir(path), fs.ModeDir|0o700)
	if got := names(t, filepath.Dir(path)); got != "a.sock" {
		t.Errorf("another file in the directory: %q", got)
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("listens on %q, want %q", got, path)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Dir(path)); got != "" {
		t.Errorf("after Close there is %q", got)
	}
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// abandoned leaves a socket as a killed agent would.
func abandoned(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

func TestListenReplacesADeadAgentsSocket(t *testing.T) {
	t.Parallel()
	path := admintest.Socket(t)
	abandoned(t, path)
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	checkMode(t, path, fs.ModeSocket|0o600)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the new socket does not answer: %v", err)
	}
	_ = conn.Close()
}

func TestListenRefusesWhileAnAgentListens(t *testing.T) {
	t.Parallel()
	s := serve(t, admintest.New(admin.About{PID: 7}))
	if _, err := admin.Listen(s.socket); !errors.Is(err, admin.ErrInUse) {
		t.Fatalf("second Listen: %v, want ErrInUse", err)
	}
	if about, err := s.About(t.Context()); err != nil || about.PID != 7 {
		t.Errorf("the first agent answers %+v, %v", about, err)
	}
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	t.Parallel()
	path := admintest.Socket(t)
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Listen(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Listen over a file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

// A replaced listener must not remove the new socket.
func TestCloseRemovesItsOwnSocketOnly(t *testing.T) {
	t.Parallel()
	path := admintest.Socket(t)
	old, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	abandoned(t, path)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket: %v", err)
	}
}

func TestListenOnATooLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(admintest.Socket(t))
	path := filepath.Join(dir, strings.Repeat("x", 150))
	if _, err := admin.Listen(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Listen: %v, want an error that names the path", err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("left behind: %q", got)
	}
}

// A listener that cannot be reached any more closes.
func TestListenerEndsWithItsSocket(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(path string) error{
		"removed":  os.Remove,
		"renamed":  func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
		"directory removed": func(path string) error {
			return os.RemoveAll(filepath.Dir(path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(filepath.Dir(admintest.Socket(t)), "dir", "a.sock")
			l, err := admin.Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v, want net.ErrClosed", err)
			}
			_ = l.Close()
		})
	}
}
