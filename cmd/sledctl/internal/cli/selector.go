package cli

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
)

// selectable are the fields that a selector can compare.
var selectable = map[string]func(vmm.Status) string{
	"state":    func(s vmm.Status) string { return string(s.Record.VMM.State) },
	"phase":    func(s vmm.Status) string { return s.Phase },
	"hostname": func(s vmm.Status) string { return s.Hostname },
	"id":       func(s vmm.Status) string { return s.ID.String() },
	"instance": func(s vmm.Status) string { return s.InstanceID.String() },
}

// A selector chooses VMMs: those that satisfy all of its conditions.
type selector []condition

// A condition compares a field with a shell pattern, regardless of case.
type condition struct {
	field, pattern string
	differs        bool
}

func (s selector) matches(v vmm.Status) bool {
	return !slices.ContainsFunc(s, func(t condition) bool {
		same, _ := path.Match(t.pattern, strings.ToLower(selectable[t.field](v))) // Set has checked the pattern
		return same == t.differs
	})
}

// Set implements pflag.Value. It adds conditions.
func (s *selector) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		field, pattern, ok := strings.Cut(part, "=")
		t := condition{pattern: strings.ToLower(strings.TrimSpace(strings.TrimPrefix(pattern, "=")))} // == is =, as in kubectl
		t.field, t.differs = strings.CutSuffix(strings.TrimSpace(field), "!")
		if !ok {
			return fmt.Errorf("%q: want FIELD=PATTERN or FIELD!=PATTERN", part)
		}
		if selectable[t.field] == nil {
			return fmt.Errorf("%q: want one of the fields %s", t.field, list(slices.Sorted(maps.Keys(selectable))))
		}
		if _, err := path.Match(t.pattern, ""); err != nil {
			return fmt.Errorf("%q: %w", part, err)
		}
		*s = append(*s, t)
	}
	return nil
}

// Type implements pflag.Value.
func (s *selector) Type() string { return "selector" }

func (s *selector) String() string { return "" }

func (s *selector) add(cmd *cobra.Command) {
	cmd.Flags().VarP(s, "selector", "l", "only VMMs that match this `selector`, such as state=running,hostname=web-*")
}
