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

// serverMode makes the test binary a zone's server: the words after it say
// what the server does.
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
	// The race detector's runtime else sleeps for a second in every exit.
	check(os.Setenv("GORACE", "atexit_sleep_ms=0"))
	goleak.VerifyTestMain(m)
}

// serve does what each word says, in order.
func serve(words []string) {
	for _, word := range words {
		verb, arg, _ := strings.Cut(word, "=")
		switch verb {
		case "say":
			fmt.Println(arg)
		case "touch":
			check(os.WriteFile(arg+".new", fmt.Appendf(nil, "%d", os.Getpid()), 0o600))
			check(os.Rename(arg+".new", arg))
		case "ignore-term":
			signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
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

// start starts a server of its own; detached, it is in another session and its
// parent ends at once, as a daemon's does.
func start(detached bool, words []string) {
	if detached {
		words = []string{"child=" + strings.Join(words, ",")}
	}
	cmd := exec.Command("/proc/self/exe", append([]string{serverMode}, words...)...)
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
