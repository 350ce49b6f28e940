package bundle

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Cause is why a bundle was made.
type Cause string

const (
	Other Cause = "other"
	// UnexpectedZone: a zone with the agent's prefix belonged to no VMM.
	UnexpectedZone Cause = "unexpected_zone"
	// TerminatedInstance: a VMM was ended by force or has failed.
	TerminatedInstance Cause = "terminated_instance"
)

// causes are all causes, the least important first.
var causes = []Cause{Other, UnexpectedZone, TerminatedInstance}

// An ID identifies a bundle.
type ID struct {
	Zone   string    `json:"zone_name" toml:"zone_name"`
	Bundle uuid.UUID `json:"bundle_id" toml:"bundle_id"`
}

// Metadata describes a bundle (ZoneBundleMetadata on the wire).
type Metadata struct {
	ID      ID        `json:"id"`
	Created time.Time `json:"time_created"`
	Version uint8     `json:"version"`
	Cause   Cause     `json:"cause"`
}

// entry is a bundle on disk.
type entry struct {
	Metadata
	size int64
}

// A Dimension is a property that decides which bundles are kept.
type Dimension string

const (
	// ByTime keeps newer bundles before older ones.
	ByTime Dimension = "time"
	// ByCause keeps bundles with more important causes; see causes.
	ByCause Dimension = "cause"
)

// A Priority decides by its first dimension and, among equals, by its second.
type Priority [2]Dimension

// compare returns a negative number if a is deleted before b.
func (p Priority) compare(a, b entry) int {
	for _, d := range p {
		order := a.Created.Compare(b.Created)
		if d == ByCause {
			order = slices.Index(causes, a.Cause) - slices.Index(causes, b.Cause)
		}
		if order != 0 {
			return order
		}
	}
	return strings.Compare(a.ID.Bundle.String(), b.ID.Bundle.String())
}

// surplus returns the bundles to delete until the rest is within the limits, the least
// important first.
func surplus(all []entry, p Priority, bytes int64, number int) []entry {
	var used int64
	for _, e := range all {
		used += e.size
	}
	slices.SortFunc(all, p.compare)
	left := 0
	for left < len(all) && (used > bytes || len(all)-left > number) {
		used -= all[left].size
		left++
	}
	return all[:left]
}

// inOrder sorts by zone, then by age.
func inOrder(a, b Metadata) int {
	return cmp.Or(strings.Compare(a.ID.Zone, b.ID.Zone), a.Created.Compare(b.Created),
		strings.Compare(a.ID.Bundle.String(), b.ID.Bundle.String()))
}
