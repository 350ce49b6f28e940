package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// maxVMMs bounds the VMMs of which everything is asked. Those in the list come first.
	maxVMMs = 200
	// maxSilent is how many requests in a row may stay without an answer. Then the agent
	// is asked nothing more: each costs a whole budget.
	maxSilent = 3
)

var errSilent = errors.New("not asked for, since the agent does not answer")

// A Getter asks the agent; admin.Client is one. What was read before an error comes with it.
type Getter interface {
	Get(ctx context.Context, path string, most int64) (status int, body []byte, err error)
}

// asker asks the agent while it answers.
type asker struct {
	Getter
	report *Report
	silent int
}

// AddAgent adds what the agent says, of all VMMs or, if id is not nil, of one.
func (r *Report) AddAgent(ctx context.Context, agent Getter, id uuid.UUID) {
	ctx, cancel := context.WithTimeoutCause(ctx, agentBudget, fmt.Errorf("the agent was asked for %s", agentBudget))
	defer cancel()
	a := &asker{Getter: agent, report: r}
	a.ask(ctx, "agent.json", "the agent: version, addresses, troubles", "/v1/agent")
	a.ask(ctx, "ready.json", "whether it keeps deadlines and serves", "/v1/ready")
	vmms := a.ask(ctx, "vmms.json", "all VMMs", "/v1/vmms")
	ended := a.ask(ctx, "ended.json", "VMMs that have ended", "/v1/vmms?ended=true")
	a.ask(ctx, "drain.json", "whether the sled takes new VMMs", "/v1/drain")
	a.ask(ctx, "config.json", "the configuration in force, without secrets", "/v1/config")
	a.ask(ctx, "log-level.json", "the level of the log", "/v1/log-level")
	a.ask(ctx, "metrics.txt", "all metrics", "/metrics")
	a.ask(ctx, "events.ndjson", "the latest events of all VMMs, one on each line", "/v1/events?follow=false&past=10000")
	a.ask(ctx, "goroutines.txt", "what the agent's goroutines do", "/v1/goroutines")
	ids := append(idsOf(vmms), idsOf(ended)...)
	if id != uuid.Nil {
		ids = []uuid.UUID{id}
	}
	if len(ids) > maxVMMs {
		r.add("vmms", "", nil, fmt.Errorf("%d of %d VMMs are left out", len(ids)-maxVMMs, len(ids)))
		ids = ids[:maxVMMs]
	}
	for _, id := range ids {
		a.ask(ctx, "vmms/"+id.String()+".json", "a VMM with its events", "/v1/vmms/"+id.String())
	}
}

// ask adds an answer, and returns it.
func (a *asker) ask(ctx context.Context, name, what, path string) []byte {
	if a.silent >= maxSilent {
		a.report.add(name, what, nil, errSilent)
		return nil
	}
	var status int
	body, err := within(ctx, func(ctx context.Context) (body []byte, err error) {
		status, body, err = a.Get(ctx, path, maxPart)
		return body, err
	})
	switch {
	case err == nil:
		a.silent = 0
		if status != http.StatusOK && status != http.StatusServiceUnavailable {
			err = fmt.Errorf("the agent answered %d: %s", status, bytes.TrimSpace(body[:min(len(body), 256)]))
			body = nil
		}
	case len(body) == 0:
		a.silent++
	}
	if strings.HasSuffix(name, ".json") {
		body = indented(body)
	}
	a.report.add(name, what, body, err)
	return body
}

// indented makes JSON readable; what is none stays as it is.
func indented(body []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return body
	}
	return out.Bytes()
}

// idsOf returns the ids in a list of VMMs.
func idsOf(body []byte) (ids []uuid.UUID) {
	var all []vmm.Status
	if json.Unmarshal(body, &all) != nil {
		return nil
	}
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

// StateDir returns the agent's state directory as its configuration has it, or else a guess.
func (r *Report) StateDir(guess string) string {
	for _, p := range r.Parts {
		var config struct {
			Values struct {
				StateDir string `json:"state_dir"`
			} `json:"values"`
		}
		if p.Name == "config.json" && json.Unmarshal(p.content, &config) == nil {
			return cmp.Or(config.Values.StateDir, guess)
		}
	}
	return guess
}
