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

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// TestMistakes checks the messages and exit codes of mistakes.
func TestMistakes(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	unknown := uuid.MustParse("ffffffff-ffff-4fff-8fff-ffffffffffff").String()
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{"bogus", 2, `unknown command "bogus"`},
		{"stat", 2, `unknown command "stat" for "sledctl"; did you mean status?`},
		{"vmm lisst", 2, `unknown command "lisst" for "sledctl vmm"; did you mean list?`},
		{"agent --color blue", 2, "--color blue: want auto, always, never"},
		{"agent --local --utc", 2, "none of the others can be"},
		{"vmm bogus", 2, `unknown command "bogus" for "sledctl vmm"`},
		{"vmm show", 2, "accepts 1 arg"},
		{"vmm list --bogus", 2, "unknown flag"},
		{"agent -o xml", 2, `-o "xml": want table, wide, json, yaml, name or template=TEMPLATE`},
		{"agent --timeout -3s", 2, "--timeout -3s"},
		{"vmm show db-9", 3, "no VMM's id begins with db-9 and none has it as its hostname"},
		{"vmm show 3f2a", 2, "3f2a could be any of:\n  " + wellID.String() + "  web-1\n  " + twinID.String() + "  web-2\n"},
		{"vmm show ff", 3, "no VMM's id begins with ff"},
		{"vmm show " + well().InstanceID.String()[:9], 3, "it is the instance of VMM " + wellID.String() + " (web-1)"},
		{"vmm show " + unknown, 3, "no such VMM"},
		{"vmm kill " + unknown, 3, "no such VMM"},
		{"vmm wait " + unknown + " --for running", 3, "no such VMM"},
		{"events " + unknown, 3, "no such VMM"},
		{"vmm wait 52c0", 2, "--for is missing: want some of running, destroyed, failed, gone"},
		{"vmm wait 52c0 --for stopped", 2, "--for stopped: want some of"},
		{"vmm stop 52c0 --grace -1s", 2, "--grace -1s"},
		{"vmm stop 52c0 --grace soon", 2, "invalid argument"},
		{"vmm stop 52c0 --soft -1s", 2, "must not be negative"},
		{"vmm reboot 52c0 --soft soon", 2, "want a duration such as 30s"},
		{"vmm start 52c0 --api localhost:1", 2, "want one such as http://[::1]:12345"},
		{"vmm start 52c0 --api http://127.0.0.1:1", 1, "call the sled API at http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused; is --api right?"},
		{"vmm register --body a --cpus 3", 2, "none of the others can be"},
		{"vmm register --body /nonexistent", 2, "no such file"},
		{"vmm register --id 7", 2, "--id 7: not a UUID"},
		{"vmm register --propolis-addr ::1", 2, "want one such as [fd00::1]:12400"},
		{"events --past 999999", 1, "want a number from 0 to 10000"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			r := s.run(c.line)
			if r.code != c.code || !strings.HasPrefix(r.err, "sledctl: ") || !strings.Contains(r.err, c.says) || r.out != "" {
				t.Errorf("exit %d, want %d\nstderr: %s\nstdout: %s", r.code, c.code, r.err, r.out)
			}
		})
	}
	if r := s.run("vmm register --body -", stdin("{")); r.code != 2 || !strings.Contains(r.err, "not JSON") {
		t.Errorf("half a body: %+v", r)
	}
}

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

func TestNoAgent(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	want := "sledctl: no agent listens on " + path + ": is sled-agent running? try --socket\n"
	if r := run(t.Context(), []string{"--socket", path, "vmm", "list"}); r.code != 1 || r.err != want {
		t.Errorf("--socket: %+v", r)
	}
	closed := &admin.NoAgentError{Socket: path, Err: &net.OpError{Op: "dial", Err: syscall.EACCES}}
	if got := explain(closed); got != "the socket "+path+" may be opened by its owner alone: run sledctl as that user" {
		t.Errorf("no permission: %s", got)
	}
	fromVariable := func(e *Env) {
		e.Getenv = func(name string) string { return map[string]string{socketVariable: path}[name] }
	}
	if r := run(t.Context(), []string{"vmm", "list"}, fromVariable); r.code != 1 || r.err != want {
		t.Errorf("%s: %+v", socketVariable, r)
	}
}

// With a full id and --api, commands work without the admin socket.
func TestCommandsWithoutTheSocket(t *testing.T) {
	t.Parallel()
	api := newSledAPI(t)
	api.answers(http.StatusOK, updated{new(record(vmm.WireStopping, 3))})
	r := run(t.Context(), []string{"--socket", socketPath(t), "--api", api.URL, "vmm", "stop", stopID.String()})
	if want := stopID.String() + " is stopping, generation 3\n"; r.code != 0 || r.out != want {
		t.Errorf("%+v", r)
	}
}

func TestErrorsOfTheSledAPI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		answer any
		code   int
		says   string
	}{
		{404, map[string]string{"request_id": "r1", "error_code": "NO_SUCH_INSTANCE", "message": "Not Found"}, 3,
			"the sled API answered 404 NO_SUCH_INSTANCE: Not Found (request r1)"},
		{410, map[string]string{"request_id": "r1", "error_code": "NO_SUCH_INSTANCE", "message": "Gone"}, 3, "410"},
		{503, map[string]string{"request_id": "r1", "message": "still loading"}, 1, "the sled API answered 503: still loading (request r1)"},
		{404, "no such page", 1, "is this the right address?"},
		{200, "what?", 1, "read answer to PUT"},
	} {
		s := newSled(t, stopping())
		s.api.answers(c.status, c.answer)
		if r := s.run("vmm stop 52c0"); r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%d %v: %+v", c.status, c.answer, r)
		}
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

func TestCompletionOffersIDs(t *testing.T) {
	t.Parallel()
	s := newSled(t, wholeSled()...)
	r := s.must("__complete vmm show 8")
	if !strings.HasPrefix(r.out, "81bc22de-6\tdb-2\n:4\n") {
		t.Errorf("offered %q", r.out)
	}
	r = s.must("__complete vmm stop web-1 db-")
	if !strings.HasPrefix(r.out, "db-1\t52c0e7de-0\ndb-2\t81bc22de-6\n:4\n") {
		t.Errorf("offered the hostnames %q", r.out)
	}
	r = s.must("__complete vmm stop db-1 db-")
	if !strings.HasPrefix(r.out, "db-2\t81bc22de-6\n:4\n") {
		t.Errorf("offered what is given already: %q", r.out)
	}
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
