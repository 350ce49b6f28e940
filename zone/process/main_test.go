//go:build linux

package process

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// serverMode makes the test binary a zone's server. The arguments after it are the
// server's actions.
const serverMode = "be-a-server"

func TestMain(m *testing.M) {
	Main()
	if len(os.Args) > 1 && os.Args[1] == serverMode {
		serve(os.Args[2:])
		return
	}
	if len(os.Args) > 2 && os.Args[1] == agentMode {
		actAsAgent(os.Args[2])
		return
	}
	if len(os.Args) > 4 && os.Args[1] == starvedMode {
		actAsStarved(os.Args[2], isolation{os.Args[3] == "true", os.Args[4]})
		return
	}
	if len(os.Args) > 4 && os.Args[1] == refusedMode {
		actAsRefused(os.Args[2], os.Args[3], isolation{os.Args[4] == "true", os.Args[5]})
		return
	}
	if len(os.Args) > 2 && os.Args[1] == busyMode {
		actAsBusy(os.Args[2])
		return
	}
	if len(os.Args) > 2 && os.Args[1] == newMode {
		_, err := New(Config{Dir: os.Args[2], Argv: []string{"x"}})
		check(err)
		return
	}
	// Otherwise the race detector sleeps for a second at every exit.
	check(os.Setenv("GORACE", "atexit_sleep_ms=0"))
	goleak.VerifyTestMain(m)
}

// serve performs the actions in order.
func serve(actions []string) {
	for _, action := range actions {
		verb, arg, _ := strings.Cut(action, "=")
		switch verb {
		case "say":
			fmt.Println(arg)
		case "touch":
			check(os.WriteFile(arg+".new", fmt.Appendf(nil, "%d", os.Getpid()), 0o600))
			check(os.Rename(arg+".new", arg))
		case "ignore-term":
			signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		case "signal-init":
			for sig := syscall.Signal(1); sig <= 64; sig++ {
				// No Go program catches 32 to 34, which C libraries use.
				if sig != syscall.SIGKILL && sig != syscall.SIGSTOP && (sig < 32 || sig > 34) {
					_ = syscall.Kill(os.Getppid(), sig)
				}
			}
		case "status":
			status, err := os.ReadFile("/proc/self/status")
			check(err)
			check(os.WriteFile(arg, status, 0o600))
		case "child":
			start(false, strings.Split(arg, ","))
		case "detach":
			start(true, strings.Split(arg, ","))
		case "fill":
			fill(arg)
		case "stop":
			check(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
		case "lock-away":
			check(os.MkdirAll("a/b", 0o700))
			check(os.WriteFile("a/b/c", nil, 0o600))
			check(os.Chmod("a/b", 0))
			check(os.Chmod("a", 0))
		case "link":
			check(os.Symlink(arg, "link"))
		case "exit":
			var code int
			_, _ = fmt.Sscan(arg, &code)
			os.Exit(code)
		case "sleep":
			time.Sleep(time.Hour) // sleep: a server that does nothing for ever
		case "wait-for":
			for _, err := os.Stat(arg); err != nil; _, err = os.Stat(arg) {
				time.Sleep(time.Millisecond) // sleep: between two looks of the helper program
			}
		}
	}
}

// start starts another server. If detached, its parent ends at once, like a daemon's.
func start(detached bool, actions []string) {
	if detached {
		actions = []string{"child=" + strings.Join(actions, ",")}
	}
	cmd := exec.Command("/proc/self/exe", append([]string{serverMode}, actions...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(cmd.Start())
	if detached {
		check(cmd.Wait())
	}
}

func fill(arg string) {
	var lines int
	_, _ = fmt.Sscan(arg, &lines)
	w := bufio.NewWriter(os.Stdout)
	for i := range lines {
		fmt.Fprintf(w, "line %06d of a talkative server\n", i)
	}
	check(w.Flush())
}

func check(err error) {
	if err != nil {
		fmt.Println("test server:", err)
		os.Exit(99)
	}
}
