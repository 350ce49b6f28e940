package demo

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

// slow is set for make test-slow: a demo with zones of illumos takes seconds of
// processor time.
var slow = os.Getenv("SLOW_TESTS") == "1"

// backendsToRun are those whose demonstration is run as a whole.
func backendsToRun() []backend {
	if slow {
		return backends()
	}
	return backends()[:1]
}

// built returns a directory with the real programs in it.
func built(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs the real programs")
	}
	dir := t.TempDir()
	args := []string{"build", "-o", dir + "/", "github.com/sledagent/sledagent/cmd/..."}
	if slow {
		args = append(args, "github.com/sledagent/sledagent/zone/illumos/illumostest/cmd/"+standin)
	}
	build := exec.CommandContext(t.Context(), "go", args...)
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
// directory, by an argument or in its environment: all are. One that keeps the
// output open would keep Wait from returning, too.
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

// The demonstration itself: the real programs keep every promise, and it is
// over in time and leaves nothing, also when it is interrupted at any moment.
func TestTheWholeDemo(t *testing.T) {
	t.Parallel()
	programs := built(t)
	for _, on := range backendsToRun() {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			wholeDemo(t, programs, on)
		})
	}
}

func wholeDemo(t *testing.T, programs string, on backend) {
	t.Run("to the end", func(t *testing.T) {
		t.Parallel()
		cmd, out, tmp := demonstration(t, programs, "--grace", "1s", "--backend", on.name)
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
			cmd, out, tmp := demonstration(t, programs, "--grace", "1m", "--backend", on.name)
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

// A host that does not let its zones go breaks the promise, and the demo says so
// and what is left. It leaves nothing all the same.
func TestADemoOnAHostThatClings(t *testing.T) {
	t.Parallel()
	if !slow {
		t.Skip("part of make test-slow (SLOW_TESTS=1)")
	}
	cmd, out, tmp := demonstration(t, built(t), "--grace", "1s", "--backend", "illumos")
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

// fault puts a fault into the demo's host as soon as there is one.
func fault(t *testing.T, tmp, text string) {
	t.Helper()
	var hosts []string
	ctx, cancel := context.WithTimeout(t.Context(), setBudget)
	defer cancel()
	err := await(ctx, func() bool {
		hosts, _ = filepath.Glob(filepath.Join(tmp, "*", "illumos", "bin", ".state")) // The pattern is a good one.
		return len(hosts) > 0
	})
	if err != nil {
		t.Fatalf("no host: %v", err)
	}
	if _, err := output(t.Context(), filepath.Join(filepath.Dir(hosts[0]), standin), "fault", text); err != nil {
		t.Fatal(err)
	}
}
