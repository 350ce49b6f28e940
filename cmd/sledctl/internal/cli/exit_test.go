package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// full is a writer without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	for _, line := range []string{"--help", "vmm", "vmm list", "vmm list -o json", "events", "events --follow"} {
		var stderr bytes.Buffer
		code := Run(t.Context(), append([]string{"--socket", s.socket}, strings.Fields(line)...), testEnv(full{}, &stderr))
		if want := "sledctl: no space left on device\n"; code != exitOther || stderr.String() != want {
			t.Errorf("%s: exit %d, %q", line, code, stderr.String())
		}
	}
}

func TestSocketOfAnotherUser(t *testing.T) {
	t.Parallel()
	closed := &admin.NoAgentError{Socket: "/a", Err: &net.OpError{Op: "dial", Err: syscall.EACCES}}
	if got := explain(closed); got != "the socket /a may be opened by its owner alone: run sledctl as that user" {
		t.Errorf("no permission: %s", got)
	}
}

// With a full id and --api, commands work without the admin socket.
func TestCommandsWithoutTheSocket(t *testing.T) {
	t.Parallel()
	api := newSledAPI(t)
	api.answers(http.StatusOK, updated{new(record(vmm.WireStopping, 3))})
	r := run(t.Context(), []string{"--socket", admintest.Socket(t), "--api", api.URL, "vmm", "stop", stopID.String()})
	if want := stopID.String() + " is stopping, generation 3\n"; r.code != 0 || r.out != want {
		t.Errorf("%+v", r)
	}
}

// Every command has help with an example, for users who copy it.
func TestEveryCommandHasHelpAndAnExample(t *testing.T) {
	t.Parallel()
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			check(sub)
		}
		if c.Short == "" || !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s: short %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
	}
	check((&app{Env: testEnv(nil, nil)}).root())
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{
		exitDone:     nil,
		exitOther:    errors.New("anything"),
		exitUsage:    fail(exitUsage, "wrong"),
		exitNotFound: fmt.Errorf("show: %w", &admin.Error{Reason: vmm.Unknown.String()}),
		exitTimedOut: fmt.Errorf("one of several requests: %w", context.DeadlineExceeded),
		exitOtherEnd: fmt.Errorf("wait: %w", fail(exitOtherEnd, "failed")),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: exit %d, want %d", err, got, want)
		}
	}
}
