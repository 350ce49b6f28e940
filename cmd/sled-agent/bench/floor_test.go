package bench

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spawn starts a server in a process group of its own.
func spawn(b testing.TB, dir string) *exec.Cmd {
	b.Helper()
	cmd := exec.Command(server[0], server[1:]...)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	if errors.Is(cmd.Err, fs.ErrNotExist) {
		b.Skip(cmd.Err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return cmd
}

// kill kills a server's process group.
func kill(b testing.TB, cmd *exec.Cmd) {
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		b.Error(err)
	}
}

// reap waits for a killed server.
func reap(b testing.TB, cmd *exec.Cmd) {
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		b.Error("server was not killed:", err)
	}
}

// killFloor returns how late n process groups are killed by a program that only waits for an
// instant and sends the signals one after the other.
func killFloor(b testing.TB, n int) sample {
	b.Helper()
	cmds := make([]*exec.Cmd, n)
	for i := range cmds {
		cmds[i] = spawn(b, "")
	}
	late := make(sample, n)
	instant := time.Now().Add(50 * time.Millisecond)
	<-time.After(time.Until(instant))
	for i, cmd := range cmds {
		kill(b, cmd)
		late[i] = time.Since(instant)
	}
	for _, cmd := range cmds {
		reap(b, cmd)
	}
	return late
}

// endFloor kills one process, waits for its end and removes its directory.
func endFloor(b testing.TB) time.Duration {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "zone")
	for _, sub := range []string{"log", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("{}"), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := spawn(b, dir)
	begun := time.Now()
	kill(b, cmd)
	reap(b, cmd)
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// syncFile returns the time to make a few bytes of a file durable.
func syncFile(b testing.TB) time.Duration {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	begun := time.Now()
	if _, err := f.WriteString("durable"); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// barePut returns a function that makes a bare PUT over a persistent connection.
func barePut(b testing.TB) (put func() time.Duration) {
	b.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(s.Close)
	return barePutTo(b, s.URL)
}

// barePutTo is barePut to a server that exists.
func barePutTo(b testing.TB, url string) (put func() time.Duration) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	b.Cleanup(client.CloseIdleConnections)
	return func() time.Duration {
		begun := time.Now()
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, url, strings.NewReader(strings.Repeat("x", 200)))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		return time.Since(begun)
	}
}
