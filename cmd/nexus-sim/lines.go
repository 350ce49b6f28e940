package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A line is what is printed of one PUT.
type line struct {
	Time    time.Time       `json:"time"`
	VMM     uuid.UUID       `json:"vmm"`
	State   vmm.WireState   `json:"state,omitempty"`
	Gen     uint64          `json:"gen"`
	Answer  int             `json:"answer"`
	Effect  nexussim.Effect `json:"effect"`
	Fault   string          `json:"fault,omitempty"`
	Message string          `json:"message,omitempty"`
	Broken  []nexussim.Rule `json:"violates,omitempty"`
}

// printPuts prints a line of JSON for each PUT until ctx ends, and an error if
// nobody reads them any more.
func printPuts(ctx context.Context, s *nexussim.Server, w io.Writer) error {
	enc := json.NewEncoder(w)
	var done uint64
	for {
		changed := s.Changed()
		puts, dealt := s.Puts(done)
		done = dealt
		broken := rulesBySeq(s.Violations())
		for _, p := range puts {
			if err := enc.Encode(lineOf(p, broken[p.Seq])); err != nil {
				return fmt.Errorf("print PUT: %w", err)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func lineOf(p nexussim.Put, broken []nexussim.Rule) line {
	l := line{Time: p.At, VMM: p.VMM, Answer: p.Answer, Effect: p.Effect, Fault: p.Fault, Message: p.Message, Broken: broken}
	if p.Record != nil {
		l.State, l.Gen = p.Record.VMM.State, p.Record.VMM.Gen
	}
	return l
}

func rulesBySeq(vs []nexussim.Violation) map[uint64][]nexussim.Rule {
	out := map[uint64][]nexussim.Rule{}
	for _, v := range vs {
		out[v.Seq] = append(out[v.Seq], v.Rule)
	}
	return out
}
