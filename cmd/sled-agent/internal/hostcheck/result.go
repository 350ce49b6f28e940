package hostcheck

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sledagent/sledagent/internal/plain"
)

// A Level is how bad a result is.
type Level string

const (
	OK Level = "ok"
	// Warning: the agent works, and something is worse than it could be.
	Warning Level = "warning"
	// Error: the agent cannot start, or VMMs cannot.
	Error Level = "error"
)

// A Result is that of one check. Cure says what to do; it is empty if all is well.
type Result struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Cure   string `json:"cure,omitempty"`
}

// A Check is one check and its name.
type Check struct {
	Name string
	Do   func(ctx context.Context) []Result
}

// budget bounds one check: a host that is not well may not answer.
const budget = 15 * time.Second

// Run runs the checks in turn.
func Run(ctx context.Context, checks []Check) []Result {
	var all []Result
	for _, c := range checks {
		all = append(all, c.run(ctx)...)
	}
	return all
}

// run runs a check, and leaves one behind that does not end in time.
func (c Check) run(ctx context.Context) []Result {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	done := make(chan []Result, 1)
	go func() { done <- c.Do(ctx) }()
	select {
	case results := <-done:
		for i := range results {
			results[i].Name = strings.TrimSpace(c.Name + " " + results[i].Name)
			results[i].Detail = plain.Line(results[i].Detail, maxDetail)
		}
		return results
	case <-time.After(budget + time.Second):
		return []Result{{Name: c.Name, Level: Error, Detail: fmt.Sprintf("it gave no answer within %s", budget),
			Cure: "find out why the host does not respond, such as a file system that hangs"}}
	}
}

// maxDetail bounds what is told of a result, in bytes.
const maxDetail = 512

// Write prints results as text.
func Write(w io.Writer, all []Result) error {
	wide := 0
	for _, r := range all {
		wide = max(wide, len(r.Name))
	}
	var out strings.Builder
	for _, r := range all {
		fmt.Fprintf(&out, "%-8s %-*s  %s\n", r.Level, wide, r.Name, r.Detail)
		if r.Cure != "" {
			fmt.Fprintf(&out, "%-8s %-*s  -> %s\n", "", wide, "", r.Cure)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Count returns how many results have a level.
func Count(all []Result, level Level) (n int) {
	for _, r := range all {
		if r.Level == level {
			n++
		}
	}
	return n
}

func ok(format string, args ...any) []Result {
	return []Result{{Level: OK, Detail: fmt.Sprintf(format, args...)}}
}

func warning(cure, format string, args ...any) []Result {
	return []Result{{Level: Warning, Detail: fmt.Sprintf(format, args...), Cure: cure}}
}

func wrong(cure, format string, args ...any) []Result {
	return []Result{{Level: Error, Detail: fmt.Sprintf(format, args...), Cure: cure}}
}
