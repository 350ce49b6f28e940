package disposition

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sledagent/sledagent/internal/bootclock"
)

// A Value is a sled's update disposition, as on the wire.
type Value string

const (
	// Available: new VMMs are taken.
	Available Value = "available"
	// Evacuating: no VMM is registered or started.
	Evacuating Value = "evacuating"
)

// A Drain is an operator's request to empty the sled.
type Drain struct {
	// By is who asked first, Since when that was.
	By    string    `json:"by"`
	Since time.Time `json:"since"`
	// Grace is the shortest grace that was asked for. It ends when the boot clock of the
	// boot named Boot, which may be unknown, reads Deadline.
	Grace    time.Duration `json:"grace_ns"`
	Deadline time.Duration `json:"deadline_ns"`
	Boot     string        `json:"boot"`
}

// Remaining returns how much of the grace is left, 0 if none is. No VM survives a reboot
// of the host, nor does the grace.
func (d *Drain) Remaining(clock bootclock.Clock) time.Duration {
	if boot, err := clock.Boot(); err == nil && bootclock.Differ(boot, d.Boot) {
		return 0
	}
	return min(max(d.Deadline-clock.Now(), 0), d.Grace)
}

// deadline returns when the grace ends or ended, by the present wall clock.
func (d *Drain) deadline(clock bootclock.Clock) time.Time {
	if boot, err := clock.Boot(); err == nil && bootclock.Differ(boot, d.Boot) {
		return d.Since.Add(d.Grace)
	}
	return time.Now().Add(d.Deadline - clock.Now()).UTC().Round(time.Millisecond)
}

// A Config is Nexus's sled configuration (OmicronSledConfig on the wire).
type Config struct {
	Generation  uint64 `json:"generation"`
	Disposition Value  `json:"update_disposition"`
	// APIVersion is the major version of the API that the body is in.
	APIVersion uint64    `json:"api_version"`
	Received   time.Time `json:"received"`
	// Body is the configuration as it was sent, without insignificant whitespace.
	Body json.RawMessage `json:"config"`
}

// A StaleError refuses a configuration that is not newer than the one that is kept.
type StaleError struct{ Have, Got uint64 }

func (e *StaleError) Error() string {
	if e.Have == e.Got {
		return fmt.Sprintf("generation: the sled configuration of generation %d has other contents", e.Have)
	}
	return fmt.Sprintf("generation: the sled configuration is older than the one in force (got %d, have %d)", e.Got, e.Have)
}

// State is the disposition at one moment. It is not changed.
type State struct {
	// Operator and Config are nil if there is none.
	Operator *Drain
	Config   *Config
	// OperatorDoubt and ConfigDoubt say why a file could not be read; empty for nothing.
	OperatorDoubt, ConfigDoubt string
	// Unsaved says why the drain, which is in force, is not on disk; empty if it is.
	Unsaved string
}

// Why explains why the sled takes no new VMMs; empty if it does.
func (s State) Why() string {
	var why []string
	if s.Operator != nil {
		why = append(why, "drained by the "+s.Operator.By)
	}
	if s.Config != nil && s.Config.Disposition == Evacuating {
		why = append(why, fmt.Sprintf("evacuated by the sled configuration, generation %d", s.Config.Generation))
	}
	for _, doubt := range []string{s.OperatorDoubt, s.ConfigDoubt} {
		if doubt != "" {
			why = append(why, "the disposition is unknown: "+doubt)
		}
	}
	return strings.Join(why, "; ")
}

// Value returns the sled's disposition.
func (s State) Value() Value {
	if s.Why() == "" {
		return Available
	}
	return Evacuating
}

// Troubles lists what is wrong with the files.
func (s State) Troubles() []string {
	var all []string
	if s.OperatorDoubt != "" {
		all = append(all, "no VMM is registered or started, since "+s.OperatorDoubt+"; sledctl drain or undrain replaces it")
	}
	if s.ConfigDoubt != "" {
		all = append(all, "no VMM is registered or started, since "+s.ConfigDoubt+"; Nexus's next sled configuration replaces it")
	}
	if s.Unsaved != "" {
		all = append(all, "the drain would be forgotten at a restart: "+s.Unsaved)
	}
	return all
}
