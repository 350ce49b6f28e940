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

// A line is what is printed for one PUT.
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

// printPuts prints a line of JSON for each PUT until ctx ends. It returns an error if
// printing fails.
func printPuts(ctx context.Context, s *nexussim.Server, w io.Writer) error {
	enc := json.NewEncoder(w)
	var done uint64
	for {
		changed := s.Changed()
		puts, dealt := s.Puts(done)
		done = dealt
		broken := map[uint64][]nexussim.Rule{}
		for _, v := range s.Violations() {
			broken[v.Seq] = append(broken[v.Seq], v.Rule)
		}
		for _, p := range puts {
			l := line{Time: p.At, VMM: p.VMM, Answer: p.Answer, Effect: p.Effect, Fault: p.Fault, Message: p.Message, Broken: broken[p.Seq]}
			if p.Record != nil {
				l.State, l.Gen = p.Record.VMM.State, p.Record.VMM.Gen
			}
			if err := enc.Encode(l); err != nil {
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
