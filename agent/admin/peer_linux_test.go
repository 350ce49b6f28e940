package admin_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
)

// askAs asks for the agent's description as another user, and returns the answer's status; 0 if the
// connection was refused. The thread that becomes the user ends with the goroutine.
func askAs(t *testing.T, path string, uid, gid int, groups ...uint32) (status int, body string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var first unsafe.Pointer
		if len(groups) > 0 {
			first = unsafe.Pointer(&groups[0])
		}
		// The functions of package syscall change all threads.
		for _, errno := range []syscall.Errno{
			raw(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0),
			raw(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)),
			raw(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)),
		} {
			if errno != 0 {
				t.Errorf("become user %d: %v", uid, errno)
				return
			}
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		if unix.Connect(fd, &unix.SockaddrUnix{Name: path}) != nil {
			_ = unix.Close(fd)
			return
		}
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(c, "GET /v1/agent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Error(err)
			return
		}
		text, _ := io.ReadAll(answer.Body)
		status, body = answer.StatusCode, string(text)
	}()
	<-done
	return status, body
}

func raw(trap, a, b, c uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall(trap, a, b, c)
	return errno
}

// Members of the group use the socket, by their first group or another one. A process that only
// the socket's mode lets in is refused and logged.
func TestGroupOfTheSocket(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become other users")
	}
	dir, err := os.MkdirTemp("", "sled-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const group, user = 54321, 54322
	path := filepath.Join(dir, "s")
	l, err := admin.Listen(path, group)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 || info.Sys().(*syscall.Stat_t).Gid != group {
		t.Errorf("socket is %v, %v", info, err)
	}
	var log strings.Builder
	server := admin.New(admintest.New(admin.About{}), admin.Options{Log: zerolog.New(&log), Groups: func() []int { return []int{group} }})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	for name, c := range map[string]struct {
		uid, gid int
		groups   []uint32
		want     int
	}{
		"root":                {0, 0, nil, http.StatusOK},
		"a member":            {user, group, nil, http.StatusOK},
		"a member by another": {user, user, []uint32{1, group}, http.StatusOK},
		"a member of many":    {user, user, append(slices.Repeat([]uint32{5}, 500), group), http.StatusOK},
		"a stranger":          {user, user, []uint32{1}, 0},
	} {
		if got, body := askAs(t, path, c.uid, c.gid, c.groups...); got != c.want {
			t.Errorf("%s is answered with %d %s", name, got, body)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, body := askAs(t, path, user, user, 1, 2); got != http.StatusForbidden || !strings.Contains(body, "user 54322 may not") {
		t.Errorf("a stranger that the mode lets in is answered with %d %s", got, body)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
	if !strings.Contains(log.String(), `"uid":54322,"groups":[1,2,54322]`) {
		t.Errorf("logged: %s", &log)
	}
}
