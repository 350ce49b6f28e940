package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newSet returns a host with one command, "tool", that runs a shell script. The command
// is a link to an existing program: a newly written one may be busy in another test's
// fork (ETXTBSY).
func newSet(t *testing.T, script string) (*Set, string) {
	t.Helper()
	dir := t.TempDir()
	stub, err := filepath.Abs("testdata/stub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(stub, filepath.Join(dir, "tool")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tool.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Find("/nowhere:"+dir, []string{"tool"}, []string{"absent"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// letGo ends the scripts that wait for it.
func letGo(t *testing.T, s *Set, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "tool.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "those left behind", func() bool { return s.Count() == 0 })
}

func tool(args ...string) Call { return Call{Argv: append([]string{"tool"}, args...), For: "z1"} }

// await polls until a condition is true.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) { // sleep: a pause between polls
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func TestFindNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := Find("/nowhere:relative", []string{"zoneadm", "dladm"}, nil, zerolog.Nop())
	want := "no zoneadm, no dladm in /nowhere:relative"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestFindSkipsFilesThatCannotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "zoneadm"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dladm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Find(dir, nil, []string{"zoneadm", "dladm"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if s.Has("zoneadm") || s.Has("dladm") {
		t.Error("a directory or a plain file was taken for a command")
	}
}

func TestSurroundings(t *testing.T) {
	t.Setenv("_ZONEADM_LOCK_HELD", "1")
	s, dir := newSet(t, `env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL= | sort; pwd; readlink /proc/self/fd/0 || echo /dev/null`)
	out, err := s.Output(t.Context(), tool())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("LC_ALL=C\nPATH=/nowhere:%s:%s\n/\n/dev/null\n", dir, standardPath)
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("environment, directory and standard input (-want +got):\n%s", diff)
	}
}

func TestErrorSaysAll(t *testing.T) {
	t.Parallel()
	s, _ := newSet(t, `echo "zoneadm: z1:  No such
zone configured" >&2; exit 3`)
	err := s.Run(t.Context(), tool("-z", "z1"))
	want := "tool -z z1: exit status 3: zoneadm: z1: No such zone configured"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if Exit(err) != 3 {
		t.Errorf("got exit code %d, want 3", Exit(err))
	}
	if !Said(err, "never", "no such") || Said(err, "other") || Said(errors.New("no such"), "no such") {
		t.Error("Said does not find the printed text")
	}
}

func TestErrorQuotesStandardOutput(t *testing.T) {
	t.Parallel()
	s, _ := newSet(t, `echo told you so; exit 1`)
	if err := s.Run(t.Context(), tool()); !Said(err, "told you so") {
		t.Errorf("got error %v", err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	s, _ := newSet(t, `head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit $1`)
	if _, err := s.Output(t.Context(), tool("0")); err == nil || !strings.Contains(err.Error(), "printed more than") {
		t.Errorf("an output that was cut off gave error %v", err)
	}
	if err := s.Run(t.Context(), tool("0")); err != nil {
		t.Errorf("Run failed because of the output: %v", err)
	}
	if err := s.Run(t.Context(), tool("1")); err == nil || len(err.Error()) > 2*maxSaid {
		t.Errorf("got an error of %d bytes", len(fmt.Sprint(err)))
	}
}

func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	s, _ := newSet(t, "")
	if err := s.Run(t.Context(), Call{Argv: []string{"absent"}}); err == nil {
		t.Error("a command that is not there was run")
	}
}

// A program over budget is killed with its children.
func TestBudgetKillsGroup(t *testing.T) {
	t.Parallel()
	// Like zoneadm it ignores signals that can be ignored.
	s, dir := newSet(t, `trap '' HUP INT TERM; sleep 600 & echo $! > "$0.pid"; sleep 600`)
	pidFile := filepath.Join(dir, "tool.pid")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, tool()) }()
	var pid int
	await(t, "the child's pid", func() bool {
		data, _ := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return pid > 0 && strings.HasSuffix(string(data), "\n")
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || errors.Is(err, ErrLeft) {
		t.Errorf("got error %v", err)
	}
	await(t, "the end of the child", func() bool { return dead(pid) })
	if s.Count() != 0 {
		t.Error("something was left behind")
	}
}

// dead reports whether a process has ended, reaped or not.
func dead(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestBudgetOfItsOwn(t *testing.T) {
	t.Parallel()
	s, _ := newSet(t, `exec sleep 600`)
	call := tool()
	call.Budget = 20 * time.Millisecond
	if err := s.Run(t.Context(), call); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
}

// A daemon that keeps the streams open does not delay the run that started it.
func TestDaemonHoldsStreams(t *testing.T) {
	t.Parallel()
	s, dir := newSet(t, `sleep 600 & echo $! > "$0.pid"; echo done`)
	out, err := s.Output(t.Context(), tool())
	if err != nil || string(out) != "done\n" {
		t.Errorf("got %q and error %v", out, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "tool.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if dead(pid) {
		t.Error("the daemon was ended")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// A command with Leave continues to run over budget, and the number of those is
// bounded.
func TestLeave(t *testing.T) {
	t.Parallel()
	s, dir := newSet(t, `until test -e "$0.go"; do sleep 0.01; done`)
	call := tool("halt")
	call.Leave, call.Budget = true, 10*time.Millisecond
	for range maxOn {
		if err := s.Run(t.Context(), call); !errors.Is(err, ErrLeft) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got error %v, want that it was left", err)
		}
	}
	if err := s.Run(t.Context(), call); !errors.Is(err, ErrTooMany) {
		t.Errorf("got error %v, want that there are too many", err)
	}
	await(t, "all to be executed", func() bool {
		return !slices.ContainsFunc(s.Left("z1"), func(l Left) bool { return l.PID == 0 })
	})
	left := s.Left("z1")
	if len(left) != maxOn || s.Count() != maxOn || left[0].Command != "tool halt" || left[0].PID == 0 {
		t.Errorf("left behind are %v, %d in all", left, s.Count())
	}
	if s.Making("z1") != nil {
		t.Error("a halt counts as making something")
	}
	other := call
	other.For = "z2"
	if err := s.Run(t.Context(), other); !errors.Is(err, ErrLeft) {
		t.Errorf("another zone's command gave error %v", err)
	}
	letGo(t, s, dir)
	if err := s.Run(t.Context(), Call{Argv: call.Argv, For: "z1"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// The number of stuck commands for one zone is bounded. They do not delay a command
// with Leave, such as a halt.
func TestMaxLeft(t *testing.T) {
	t.Parallel()
	s, dir := newSet(t, `until test -e "$0.go"; do sleep 0.01; done`)
	s.Kill = func(int) error { return nil }
	var group sync.WaitGroup
	for i := range maxLeft {
		group.Go(func() {
			call := tool(strconv.Itoa(i))
			call.Budget = time.Millisecond
			if err := s.Run(t.Context(), call); !errors.Is(err, ErrLeft) {
				t.Errorf("got error %v, want that it was left", err)
			}
		})
	}
	group.Wait()
	if err := s.Run(t.Context(), tool("another")); !errors.Is(err, ErrTooMany) {
		t.Errorf("got error %v, want that there are too many", err)
	}
	halt := tool("halt")
	halt.Leave, halt.Budget = true, time.Millisecond
	if err := s.Run(t.Context(), halt); !errors.Is(err, ErrLeft) {
		t.Errorf("a halt: got error %v, want that it was run", err)
	}
	letGo(t, s, dir)
}

// A command that is stuck is replaced, each time after a longer pause.
func TestStuckIsReplaced(t *testing.T) {
	t.Parallel()
	s, dir := newSet(t, `echo >>"$0.runs"; [ "$(wc -l <"$0.runs")" -gt 4 ] || until test -e "$0.go"; do sleep 0.01; done`)
	s.Kill, s.ReplaceAfter = func(int) error { return nil }, 50*time.Millisecond
	call := tool()
	call.Budget = 10 * time.Millisecond
	var refused [5]int
	await(t, "a run that does not hang", func() bool {
		if s.Count() == 4 {
			call.Budget = 0
		}
		err := s.Run(t.Context(), call)
		if errors.Is(err, ErrTooMany) {
			refused[s.Count()]++
		}
		return err == nil
	})
	if refused[0] > 0 || refused[4] == 0 || refused[4] < refused[2] {
		t.Errorf("refused, by the number of stuck runs: %v", refused)
	}
	letGo(t, s, dir)
}

// A command that survives SIGKILL is left behind.
func TestSurvivesKill(t *testing.T) {
	t.Parallel()
	s, dir := newSet(t, `until test -e "$0.go"; do sleep 0.01; done`)
	s.Kill = func(int) error { return nil }
	call := tool()
	call.Budget, call.Makes = 10*time.Millisecond, true
	if err := s.Run(t.Context(), call); !errors.Is(err, ErrLeft) {
		t.Errorf("got error %v, want that it was left", err)
	}
	if err := s.Making("z1"); !errors.Is(err, ErrLeft) {
		t.Errorf("it may still make something, but got error %v", err)
	}
	if s.Making("z2") != nil {
		t.Error("it counts for another zone")
	}
	letGo(t, s, dir)
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	s, dir := newSet(t, `echo > "$0.ran"`)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if err := s.Run(ctx, tool()); !errors.Is(err, why) {
		t.Errorf("got error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tool.ran")); err == nil {
		t.Error("it was run all the same")
	}
}

// A program whose exec is stuck, for example on a disk that does not answer, is left
// behind like any other, and does nothing when it is executed at last.
func TestExecHangs(t *testing.T) {
	t.Parallel()
	s, _ := newSet(t, `exec sleep 600`)
	disk := make(chan struct{})
	s.Start = func(cmd *exec.Cmd) error {
		<-disk
		return cmd.Start()
	}
	call := tool()
	call.Budget, call.Makes = 10*time.Millisecond, true
	if err := s.Run(t.Context(), call); !errors.Is(err, ErrLeft) {
		t.Errorf("got error %v, want that it was left", err)
	}
	if err := s.Making("z1"); !errors.Is(err, ErrLeft) {
		t.Errorf("it may still make something, but got error %v", err)
	}
	if left := s.Left("z1"); len(left) != 1 || left[0].PID != 0 {
		t.Errorf("left behind are %v", left)
	}
	close(disk)
	await(t, "its end", func() bool { return s.Count() == 0 })
}

// What a program has printed is there whatever becomes of it, and bounded.
func TestCapture(t *testing.T) {
	t.Parallel()
	s, _ := newSet(t, `echo out; echo err >&2; case "$1" in fails) exit 3;; hangs) exec sleep 600;; esac; echo more`)
	for arg, want := range map[string]struct{ out, failed string }{
		"works": {"out\nmore\n", ""},
		"fails": {"out\n", "exit status 3"},
	} {
		out, warned, err := s.Capture(t.Context(), tool(arg))
		if string(out) != want.out || string(warned) != "err\n" || (err == nil) != (want.failed == "") {
			t.Errorf("%s: %q, %q, %v", arg, out, warned, err)
		}
	}
	hangs := tool("hangs")
	ctx, cancel := context.WithCancel(t.Context())
	printed := make(chan struct{})
	go func() {
		<-printed
		cancel()
	}()
	time.AfterFunc(time.Second, func() { close(printed) })
	if out, _, err := s.Capture(ctx, hangs); string(out) != "out\n" || !errors.Is(err, context.Canceled) {
		t.Errorf("hangs: %q, %v", out, err)
	}
	short := tool("works")
	short.MaxOutput = 5
	if out, _, err := s.Capture(t.Context(), short); string(out) != "out\nm" || err != nil {
		t.Errorf("more than is kept: %q, %v", out, err)
	}
	if out, _, err := s.Capture(t.Context(), Call{Argv: []string{"absent"}}); out != nil || err == nil {
		t.Errorf("a program that is not there: %q, %v", out, err)
	}
}
