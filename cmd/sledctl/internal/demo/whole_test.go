package demo

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// built returns a directory with the real programs in it.
func built(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs the real programs")
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "github.com/sledagent/sledagent/cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// demonstration is the real command, with a directory for temporary files of its own.
func demonstration(t *testing.T, programs string, args ...string) (cmd *exec.Cmd, out *bytes.Buffer, tmp string) {
	t.Helper()
	// Not t.TempDir: the admin socket's path has to be short.
	tmp, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	out = new(bytes.Buffer)
	cmd = exec.CommandContext(t.Context(), filepath.Join(programs, "sledctl"), append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out, tmp
}

// wantClean fails if the demo has left a file, or a process that was told of its
// directory: the agent and the zones are. One that keeps the output open would
// keep Wait from returning, too.
func wantClean(t *testing.T, tmp string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ps, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "args").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(ps)) {
		if strings.Contains(line, tmp) {
			t.Errorf("still runs: %s", line)
		}
	}
}

// The demonstration itself: the real programs keep every promise, and it is
// over in time and leaves nothing, also when it is interrupted at any moment.
func TestTheWholeDemo(t *testing.T) {
	t.Parallel()
	programs := built(t)
	t.Run("to the end", func(t *testing.T) {
		t.Parallel()
		cmd, out, tmp := demonstration(t, programs, "--grace", "1s")
		begun := time.Now()
		if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "kept for 5 of 5 VMMs") {
			t.Errorf("%v:\n%s", err, out)
		}
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("took %v", took)
		}
		wantClean(t, tmp)
	})
	for _, after := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, 700 * time.Millisecond} {
		t.Run("interrupted after "+after.String(), func(t *testing.T) {
			t.Parallel()
			cmd, out, tmp := demonstration(t, programs, "--grace", "1m")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The moment is any: what is promised holds at each.
			time.AfterFunc(after, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
			if err := cmd.Wait(); err == nil {
				t.Errorf("no error:\n%s", out)
			}
			wantClean(t, tmp)
		})
	}
}
