package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis"
)

func newBody() string { return string(wire.NewBody(wire.BodyOptions{NICs: 1})) }

const secret = "the detail that only the log may have"

func TestErrorMapping(t *testing.T) {
	t.Parallel()
	type answer struct {
		status        int
		code, message string
	}
	var (
		noSuch      = answer{404, "NO_SUCH_INSTANCE", "Not Found"}
		terminating = answer{410, "NO_SUCH_INSTANCE", "Instance is terminating"}
		unavailable = answer{503, "", "Service Unavailable"}
		internal    = answer{500, "Internal", "Internal Server Error"}
	)
	said := func(status int, kind propolis.Kind) error {
		return &propolis.Error{Op: "put state", Status: status, Code: secret, Message: secret, Kind: kind}
	}
	for _, tt := range []struct {
		err  error
		want answer
	}{
		{&vmm.Refusal{Reason: vmm.Unknown, Detail: secret}, noSuch},
		// A registration has a code of its own: see TestCodesOfAnEvacuatedSled.
		{fmt.Errorf("stop VMM: %w", &vmm.Refusal{Reason: vmm.Draining, Detail: secret}), unavailable},
		{&vmm.Refusal{Reason: vmm.Evacuating, Detail: "drained"}, answer{503, "SLED_EVACUATING", "sled is being evacuated: drained"}},
		{&vmm.Refusal{Reason: vmm.Draining, Detail: secret}, unavailable},
		{&vmm.Refusal{Reason: vmm.Terminating, Detail: secret}, terminating},
		{&vmm.Refusal{Reason: vmm.Superseded, Detail: secret}, terminating},
		{&vmm.Refusal{Reason: vmm.Conflict, Detail: "instance <1> is registered"}, answer{409, "", "instance <1> is registered"}},
		{&vmm.Refusal{Reason: vmm.Conflict}, answer{409, "", "Conflict"}},
		{&vmm.Refusal{Reason: vmm.Busy, Detail: secret}, answer{503, "INSTANCE_CHANNEL_FULL", "Service Unavailable"}},
		{&vmm.Refusal{Reason: vmm.Full, Detail: "1 of 1"}, answer{503, "", "agent is full: 1 of 1"}},
		{&vmm.Refusal{Reason: vmm.Invalid, Detail: "no primary NIC"}, answer{400, "", "no primary NIC"}},
		{&vmm.Refusal{Reason: vmm.Attached, Detail: "192.0.2.32/28"},
			answer{409, "SUBNET_ALREADY_ATTACHED", "subnet 192.0.2.32/28 is attached already"}},
		{&vmm.Refusal{Reason: vmm.NotRunning, Detail: secret}, internal},
		{&vmm.Refusal{Reason: vmm.TimedOut, Detail: secret}, internal},
		{&vmm.Refusal{Reason: 99}, internal},
		{fmt.Errorf("stop VMM: %w", &vmm.Refusal{Reason: vmm.Unknown}), noSuch},
		{said(400, propolis.Refused), answer{400, "", "Bad Request"}},
		{said(403, propolis.Refused), answer{403, "", "Forbidden"}},
		{said(404, propolis.Refused), answer{404, "", "Not Found"}},
		{said(424, propolis.NoInstance), answer{424, "", "Failed Dependency"}},
		{said(499, propolis.Refused), answer{499, "", "Status 499"}},
		{said(503, propolis.Unavailable), unavailable},
		{said(500, propolis.Broken), internal},
		{said(502, propolis.Broken), internal},
		{said(200, propolis.Malformed), internal},
		{said(0, propolis.ConnRefused), internal},
		{fmt.Errorf("reboot VMM: %w", said(403, propolis.Refused)), answer{403, "", "Forbidden"}},
		{errors.New(secret), internal},
		{context.DeadlineExceeded, internal},
		{http.ErrAbortHandler, internal},
		{io.EOF, internal},
	} {
		s := serve(t, &fakeAgent{err: tt.err}, api.Options{})
		for _, call := range [][3]string{
			{"PUT", vmmURL, newBody()}, {"DELETE", vmmURL, ""}, {"GET", stateURL, ""}, {"GET", "/zones", ""}, {"POST", snapURL, snapshotBody},
			{"PUT", stateURL, stateBody("running")}, {"PUT", stateURL, stateBody("stopped")}, {"PUT", stateURL, stateBody("reboot")},
			{"PUT", stateURL, `{"state":{"type":"migration_target","value":{"src_propolis_addr":"[fd00::7]:12400"}}}`},
		} {
			r := s.do(call[0], call[1], call[2])
			if call[0] == "DELETE" && tt.want == noSuch {
				if r.StatusCode != 200 || strings.TrimSpace(r.body) != `{"updated_runtime":null}` {
					t.Errorf("%v: DELETE: %d %s; an unknown VMM is no error", tt.err, r.StatusCode, r.body)
				}
				continue
			}
			code, message := r.failed(t)
			if got := (answer{r.StatusCode, code, message}); got != tt.want {
				t.Errorf("%v: %s %s: %v, want %v", tt.err, call[0], call[1], got, tt.want)
			}
			if strings.Contains(r.body, secret) {
				t.Errorf("%v: the answer contains what is only for the log: %s", tt.err, r.body)
			}
		}
	}
}
