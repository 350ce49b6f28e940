package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// holdEnv names the directory that the test binary locks when it runs as another agent.
const holdEnv = "LEDGER_TEST_HOLD"

// hold is that agent: it prints the result of locking and then waits until it is killed.
func hold(dir string) {
	_, err := Lock(dir)
	fmt.Println(err)
	if err == nil {
		select {}
	}
}

// agentIn starts another agent that locks dir.
func agentIn(t *testing.T, dir string) (process *os.Process, said string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have exited
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the other agent said %q: %v", line, err)
	}
	return cmd.Process, line[:len(line)-1]
}

// TestOneAgentPerDirectory locks a state directory from two processes. The lock ends
// with its holder, and children do not inherit it.
func TestOneAgentPerDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, said := agentIn(t, dir)
	if said != "<nil>" {
		t.Fatal(said)
	}
	var held *HeldError
	if _, err := Lock(dir); !errors.As(err, &held) || held.PID != first.Pid || held.Dir != dir {
		t.Fatalf("locked: %v, want it held by process %d", err, first.Pid)
	}
	want := fmt.Sprintf("state directory %s is in use by process %d", dir, first.Pid)
	if _, said := agentIn(t, dir); said != want {
		t.Errorf("the second agent said %q, want %q", said, want)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	release, err := Lock(dir)
	if err != nil {
		t.Fatalf("after the holder exited: %v", err)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, said := agentIn(t, dir); said != "<nil>" {
		t.Errorf("released, while a child is running: %s", said)
	}
}

func TestLockNeedsADirectory(t *testing.T) {
	t.Parallel()
	var held *HeldError
	if _, err := Lock(t.TempDir() + "/none"); err == nil || errors.As(err, &held) {
		t.Errorf("locked: %v", err)
	}
}
