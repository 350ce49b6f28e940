package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestAboutAndList(t *testing.T) {
	t.Parallel()
	about := admin.About{Version: "1", SledID: "s", API: "http://[::1]:1", Backend: "process", Isolation: "i",
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), PID: 9, Nexus: []string{"http://n"}}
	s := serve(t, admintest.New(about, status(3), status(1), status(2)))
	got, err := s.About(t.Context())
	about.VMMs = 3
	if diff := cmp.Diff(about, got); err != nil || diff != "" {
		t.Errorf("About: %v\n%s", err, diff)
	}
	all, err := s.List(t.Context())
	if diff := cmp.Diff([]vmm.Status{status(1), status(2), status(3)}, all); err != nil || diff != "" {
		t.Errorf("List: %v\n%s", err, diff)
	}
}

func TestEmptyListIsAList(t *testing.T) {
	t.Parallel()
	s := serve(t, admintest.New(admin.About{}))
	if code, body := s.do("GET", "/v1/vmms", nil); code != http.StatusOK || strings.TrimSpace(body) != "[]" {
		t.Errorf("%d %s", code, body)
	}
}

func TestListOfTheUnhealthy(t *testing.T) {
	t.Parallel()
	sick := status(2)
	sick.Degraded = "for a test"
	s := serve(t, admintest.New(admin.About{}, status(1), sick))
	code, body := s.do("GET", "/v1/vmms?unhealthy=true", nil)
	if code != http.StatusOK || strings.Count(body, `"id"`) != 1 || !strings.Contains(body, id(2).String()) {
		t.Errorf("%d %s", code, body)
	}
}

func TestShowAndKill(t *testing.T) {
	t.Parallel()
	agent := admintest.New(admin.About{}, status(1))
	agent.Emit(id(1), vmm.Event{Kind: "stop"})
	s := serve(t, agent)
	shown, err := s.Show(t.Context(), id(1))
	if err != nil || len(shown.Events) != 1 {
		t.Errorf("Show: %+v, %v", shown, err)
	}
	agent.OnKill(func(_ context.Context, s vmm.Status) (vmm.Status, error) {
		s.Outcome = "destroyed"
		return s, nil
	})
	killed, err := s.Kill(t.Context(), id(1))
	if err != nil || killed.Outcome != "destroyed" || len(agent.Killed()) != 1 {
		t.Errorf("Kill: %+v, %v; killed %v", killed, err, agent.Killed())
	}
}

// An operator's interrupt of sledctl does not cancel the kill.
func TestKillSurvivesDisconnect(t *testing.T) {
	t.Parallel()
	agent := admintest.New(admin.About{}, status(1))
	asked, left, outcome := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	agent.OnKill(func(ctx context.Context, s vmm.Status) (vmm.Status, error) {
		close(asked)
		<-left
		select {
		case <-ctx.Done():
			outcome <- ctx.Err()
		case <-time.After(50 * time.Millisecond): // time for a cancellation to arrive
			outcome <- nil
		}
		return s, nil
	})
	s := serve(t, agent)
	ctx, leave := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := s.Kill(ctx, id(1))
		failed <- err
	}()
	<-asked
	leave()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	close(left)
	if err := <-outcome; err != nil {
		t.Errorf("the kill was cancelled: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	agent := admintest.New(admin.About{}, status(1))
	s := serve(t, agent)
	for reason, code := range map[vmm.Reason]int{
		vmm.Unknown: 404, vmm.Loading: 503, vmm.Terminating: 409, vmm.Conflict: 409, vmm.Busy: 503,
		vmm.NotRunning: 409, vmm.Draining: 503, vmm.TimedOut: 504, vmm.Superseded: 409, vmm.Reason(99): 500,
	} {
		agent.OnKill(func(context.Context, vmm.Status) (vmm.Status, error) {
			return vmm.Status{}, fmt.Errorf("kill: %w", &vmm.Refusal{Reason: reason, Detail: "why"})
		})
		_, err := s.Kill(t.Context(), id(1))
		var refused *admin.Error
		if !errors.As(err, &refused) || refused.Status != code || refused.Reason != reason.String() ||
			!strings.Contains(refused.Message, "why") {
			t.Errorf("%v: %#v, want %d", reason, err, code)
		}
		if got := admin.IsUnknown(err); got != (reason == vmm.Unknown) {
			t.Errorf("%v: IsUnknown is %t", reason, got)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	agent := admintest.New(admin.About{}, status(1))
	agent.OnKill(func(context.Context, vmm.Status) (vmm.Status, error) { panic("for a test") })
	s := serve(t, agent)
	for _, c := range []struct {
		method, path string
		body         int
		code         int
		says         string
	}{
		{"GET", "/v1/vmms/" + id(9).String(), 0, 404, "no such VMM"},
		{"GET", "/v1/vmms/81bc", 0, 400, "full id"},
		{"GET", "/v1/vmms/urn:uuid:" + id(1).String(), 0, 400, "full id"},
		{"GET", "/v1/vmms?unhealthy=perhaps", 0, 400, "true or false"},
		{"GET", "/v1/events?past=-1", 0, 400, "past"},
		{"GET", "/v1/events?past=99999", 0, 400, "past"},
		{"GET", "/v1/events?follow=x", 0, 400, "follow"},
		{"GET", "/v1/events?vmm=x", 0, 400, "full id"},
		{"GET", "/v1/events?vmm=" + id(9).String(), 0, 404, "no such VMM"},
		{"GET", "/v2/vmms", 0, 404, "Not Found"},
		{"DELETE", "/v1/vmms", 0, 405, "Not Allowed"},
		{"GET", "/v1/agent", 1 << 20, 413, "too large"},
		{"POST", "/v1/vmms/" + id(1).String() + "/kill", 0, 500, "for a test"},
	} {
		code, body := s.do(c.method, c.path, bytes.NewReader(make([]byte, c.body)))
		if code != c.code || !strings.HasPrefix(body, `{"message":`) || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", c.method, c.path, code, body, c.code, c.says)
		}
	}
	if !strings.Contains(s.log.String(), "for a test") {
		t.Error("the panic is not in the log")
	}
	if _, err := s.List(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSmallBodiesAreIgnored(t *testing.T) {
	t.Parallel()
	agent := admintest.New(admin.About{}, status(1))
	s := serve(t, agent)
	if code, body := s.do("POST", "/v1/vmms/"+id(1).String()+"/kill", strings.NewReader(`{"force":true}`)); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if len(agent.Killed()) != 1 {
		t.Errorf("killed %v", agent.Killed())
	}
}

func TestClientWithoutAgent(t *testing.T) {
	t.Parallel()
	path := admintest.Socket(t)
	c := admin.NewClient(path)
	defer c.Close()
	var noAgent *admin.NoAgentError
	if _, err := c.List(t.Context()); !errors.As(err, &noAgent) || noAgent.Socket != path {
		t.Errorf("no socket: %v", err)
	}
	abandoned(t, path)
	if _, err := c.List(t.Context()); !errors.As(err, &noAgent) || err.Error() != "no agent listens on "+path {
		t.Errorf("dead socket: %v", err)
	}
}

// TestListOfTheEnded: they are in the agent's order, latest first, and not in the other
// list.
func TestListOfTheEnded(t *testing.T) {
	t.Parallel()
	agent := admintest.New(admin.About{}, status(1))
	failed := status(3)
	failed.Record.VMM.State, failed.Events = vmm.WireFailed, []vmm.Event{{Kind: "forgotten"}}
	agent.PutEnded(failed)
	agent.PutEnded(status(4))
	agent.PutEnded(status(2))
	s := serve(t, agent)
	short := failed
	short.Events = nil
	all, err := s.Ended(t.Context())
	if diff := cmp.Diff([]vmm.Status{status(2), status(4), short}, all); err != nil || diff != "" {
		t.Errorf("Ended: %v\n%s", err, diff)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("List: %+v, %v", all, err)
	}
	if shown, err := s.Show(t.Context(), id(3)); err != nil || len(shown.Events) != 1 {
		t.Errorf("Show: %+v, %v", shown, err)
	}
	code, body := s.do("GET", "/v1/vmms?ended=true&unhealthy=true", nil)
	if code != http.StatusOK || strings.Count(body, `"id"`) != 1 || !strings.Contains(body, id(3).String()) {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := s.do("GET", "/v1/vmms?ended=perhaps", nil); code != http.StatusBadRequest {
		t.Errorf("ended=perhaps: %d", code)
	}
	if code, body := serve(t, admintest.New(admin.About{})).do("GET", "/v1/vmms?ended=true", nil); code != http.StatusOK || strings.TrimSpace(body) != "[]" {
		t.Errorf("none: %d %s", code, body)
	}
}
