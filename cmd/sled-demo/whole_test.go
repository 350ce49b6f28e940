package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slow is set by make test-slow: a demo with illumos zones takes seconds of processor
// time.
var slow = os.Getenv("SLOW_TESTS") == "1"

// backends are those that the whole demo is run with.
func backends() []string {
	if slow {
		return []string{"process", "illumos"}
	}
	return []string{"process"}
}

// built returns a directory with the real programs.
func built(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs the real programs")
	}
	dir := t.TempDir()
	args := []string{"build", "-o", dir + "/", "github.com/sledagent/sledagent/cmd/..."}
	if slow {
		args = append(args, "github.com/sledagent/sledagent/zone/illumos/illumostest/cmd/illumos-standin")
	}
	build := exec.CommandContext(t.Context(), "go", args...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// demonstration is the real command, with its own directory for temporary files.
func demonstration(t *testing.T, programs string, args ...string) (cmd *exec.Cmd, out *bytes.Buffer, tmp string) {
	t.Helper()
	// Not t.TempDir: the admin socket's path has to be short.
	tmp, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	out = new(bytes.Buffer)
	cmd = exec.CommandContext(t.Context(), filepath.Join(programs, "sled-demo"), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out, tmp
}

// wantClean fails if the demo has left a file, or a process that has its directory in
// its arguments or environment, as all have. A process that keeps the output open
// would also keep Wait from returning.
func wantClean(t *testing.T, tmp string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ps, err := exec.CommandContext(t.Context(), "ps", "axeww", "-o", "args").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(ps)) {
		if strings.Contains(line, tmp) {
			t.Errorf("still runs: %s", line)
		}
	}
}

// The whole demo: the real programs keep every promise, and it leaves nothing behind,
// even when it is interrupted at any moment.
func TestWholeDemo(t *testing.T) {
	t.Parallel()
	programs := built(t)
	for _, backend := range backends() {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			wholeDemo(t, programs, backend)
		})
	}
}

func wholeDemo(t *testing.T, programs, backend string) {
	t.Run("to the end", func(t *testing.T) {
		t.Parallel()
		cmd, out, tmp := demonstration(t, programs, "-grace", "1s", "-backend", backend)
		if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "kept for 5 of 5 VMMs") {
			t.Errorf("%v:\n%s", err, out)
		}
		wantClean(t, tmp)
	})
	for _, after := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, 700 * time.Millisecond} {
		t.Run("interrupted after "+after.String(), func(t *testing.T) {
			t.Parallel()
			cmd, out, tmp := demonstration(t, programs, "-grace", "1m", "-backend", backend)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The moment is arbitrary; the promise holds at each.
			time.AfterFunc(after, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
			if err := cmd.Wait(); err == nil {
				t.Errorf("no error:\n%s", out)
			}
			wantClean(t, tmp)
		})
	}
}

// The same with real guests, which E2E_GUEST has the kernel of; "make test-guests" sets it.
func TestDemoOfRealGuests(t *testing.T) {
	t.Parallel()
	guest := os.Getenv("E2E_GUEST")
	if guest == "" {
		t.Skip("part of make test-guests (E2E_GUEST=DIR)")
	}
	programs := built(t)
	if err := os.Symlink(guest, filepath.Join(programs, "guest")); err != nil {
		t.Fatal(err)
	}
	t.Run("to the end", func(t *testing.T) {
		cmd, out, tmp := demonstration(t, programs, "-backend", "qemu")
		err := cmd.Run()
		if err != nil || !strings.Contains(out.String(), "kept for 4 of 4 VMMs") || !strings.Contains(out.String(), "deaf guest had been up") {
			t.Errorf("%v:\n%s", err, out)
		}
		wantClean(t, tmp)
	})
	t.Run("interrupted", func(t *testing.T) {
		cmd, out, tmp := demonstration(t, programs, "-backend", "qemu")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
		if err := cmd.Wait(); err == nil {
			t.Errorf("no error:\n%s", out)
		}
		wantClean(t, tmp)
	})
}

// A host whose zones cannot be removed breaks the promise. The demo reports that with
// what is left, and still cleans up.
func TestDemoOfHostThatKeepsZones(t *testing.T) {
	t.Parallel()
	if !slow {
		t.Skip("part of make test-slow (SLOW_TESTS=1)")
	}
	cmd, out, tmp := demonstration(t, built(t), "-grace", "1s", "-backend", "illumos")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fault(t, tmp, `{"Do":"stuck","State":"down"}`)
	if err := cmd.Wait(); err == nil {
		t.Error("no error")
	}
	for _, want := range []string{"kept for 0 of 5 VMMs", "broken (Z): zone oxz_", "broken (Z): datalink ox", "broken (L)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
	wantClean(t, tmp)
}

// fault puts a fault into the demo's simulated host as soon as that exists.
func fault(t *testing.T, tmp, text string) {
	t.Helper()
	var hosts []string
	ctx, cancel := context.WithTimeout(t.Context(), startBudget)
	defer cancel()
	err := await(ctx, func() bool {
		hosts, _ = filepath.Glob(filepath.Join(tmp, "*", "illumos", "bin", ".state")) // The pattern is valid.
		return len(hosts) > 0
	})
	if err != nil {
		t.Fatalf("no host: %v", err)
	}
	if _, err := output(t.Context(), filepath.Join(filepath.Dir(hosts[0]), "illumos-standin"), "fault", text); err != nil {
		t.Fatal(err)
	}
}
