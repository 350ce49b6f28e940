package ledger

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// contents is what a ledger holds, except VMMs that have ended.
type contents struct {
	vmms map[uuid.UUID]stored
	// unreadable holds VMMs whose checksums match but whose states cannot be decoded.
	unreadable map[uuid.UUID]stored
	// fresh is when the ledger was created; empty once it is settled (see Fresh).
	fresh string
	// lost describes what could not be read when the ledger was rewritten after damage.
	lost string
}

// stored is a VMM: its state as JSON, and the location of its registration.
type stored struct {
	state string
	at    ref
	// registration comes from an older schema and is not in a file yet.
	registration []byte
}

func newContents() contents {
	return contents{vmms: map[uuid.UUID]stored{}, fresh: now()}
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }

func (c contents) clone() contents {
	c.vmms = maps.Clone(c.vmms)
	return c
}

// settledText is the line that ends the fresh state.
const settledText = "settled"

func dropText(id uuid.UUID) string { return "drop " + id.String() }

func stateText(id uuid.UUID, v stored) string {
	return fmt.Sprintf("state %s %s %s", id, v.at, v.state)
}

// texts returns the lines that produce the contents.
func (c contents) texts() (all []string) {
	if c.fresh != "" {
		all = append(all, "fresh "+c.fresh)
	}
	if c.lost != "" {
		all = append(all, "lost "+c.lost)
	}
	for _, id := range c.ids() {
		all = append(all, stateText(id, c.vmms[id]))
	}
	return all
}

func (c contents) ids() []uuid.UUID {
	return slices.SortedFunc(maps.Keys(c.vmms), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
}

// apply applies a line to the contents.
func (c *contents) apply(text string) error {
	kind, rest, _ := strings.Cut(text, " ")
	switch kind {
	case "fresh":
		c.fresh = rest
	case "lost":
		c.lost = rest
	case settledText:
		c.fresh = ""
	case "drop":
		id, err := uuid.Parse(rest)
		delete(c.vmms, id)
		return err
	case "state":
		words := strings.SplitN(rest, " ", 3)
		if len(words) < 3 {
			return fmt.Errorf("truncated state: %q", rest)
		}
		id, err := uuid.Parse(words[0])
		at, failed := parseRef(words[1])
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		c.vmms[id] = stored{state: words[2], at: at}
	default:
		return fmt.Errorf("unknown kind of line: %q", kind)
	}
	return nil
}

func (c *contents) applyAll(texts []string) (err error) {
	for _, text := range texts {
		err = errors.Join(err, c.apply(text))
	}
	return err
}

// readContents reads a log and counts what is unreadable. A VMM with a damaged line is
// left out, unless a later line has its newer state.
func readContents(s scan) (c contents, damaged int) {
	c = contents{vmms: map[uuid.UUID]stored{}, unreadable: map[uuid.UUID]stored{}}
	for _, line := range s.lines {
		if !line.ok || c.apply(line.text) != nil {
			damaged++
			c.forget(line, line.at < s.base)
		}
	}
	if s.cut {
		damaged++
		c.forget(logLine{}, false)
	}
	for id, v := range c.vmms {
		if _, _, err := decodeState([]byte(v.state), time.Time{}, 0, "", vmm.Limits{}); err != nil {
			delete(c.vmms, id)
			c.unreadable[id] = v
			damaged++
		}
	}
	return c, damaged
}

// beginning matches how a line begins, also if a part of that is damaged.
var beginning = regexp.MustCompile(`[0-9a-f]{8} (state|drop|commit) | (state|drop) [0-9a-f-]{20}| commit [0-9]+ [0-9]`)

// alone reports whether a damaged line is one line, and not two or more of which the
// ends between them are damaged as well.
func alone(text string) bool {
	control := func(r rune) bool { return r < ' ' }
	return len(beginning.FindAllString(text, 2)) < 2 && !strings.ContainsFunc(text, control)
}

// forget removes the VMM of a damaged line. If the line's VMM is unknown and the line is
// not of the first batch, it may be any VMM's. Then every VMM whose VM was not running
// is removed: if it runs by now, a second VM would be started.
func (c *contents) forget(line logLine, first bool) {
	words := strings.SplitN(line.text, " ", 4)
	if len(words) == 4 {
		if id, err := uuid.Parse(words[2]); err == nil && c.vmms[id].state != "" {
			delete(c.vmms, id)
			if alone(line.text) {
				return
			}
		}
	}
	if first && alone(line.text) {
		return // the first batch has one line per VMM
	}
	for id, v := range c.vmms {
		e, _, err := decodeState([]byte(v.state), time.Time{}, 0, "", vmm.Limits{})
		if err != nil || e.State.Phase < vmm.Ensuring {
			delete(c.vmms, id)
		}
	}
}
