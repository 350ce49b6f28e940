package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// defaultKeepEnded is how long the last Status of an ended VMM is kept.
	defaultKeepEnded = 7 * 24 * time.Hour
	// maxEnded is the number of them that are kept, maxEndedDoc the size of one in bytes.
	maxEnded    = 1000
	maxEndedDoc = 32 << 10
	// keepIDs and maxIDs are the age and the number of ids that are kept without a Status.
	keepIDs = 30 * 24 * time.Hour
	maxIDs  = 100_000
)

// An end is a VMM that has ended: the wall-clock time, and its last Status as JSON,
// which is empty when only the id is kept.
type end struct {
	at  time.Time
	id  uuid.UUID
	doc []byte
}

func (e end) older(age time.Duration, now time.Time) bool { return now.Sub(e.at) > age }

// ended holds VMMs that have ended. It is safe for concurrent use and does no
// I/O: Drop adds to it at once, and the writer updates the disk.
type ended struct {
	keep time.Duration
	mu   sync.Mutex
	ends []end // oldest first
	// count is how many ends a VMM has in ends.
	count map[uuid.UUID]int
	// docs is how many ends have a Status. The first bare ones have none.
	docs, bare int
}

func newEnded(keep time.Duration, ends []end) *ended {
	if keep <= 0 {
		keep = defaultKeepEnded
	}
	d := &ended{keep: keep, count: map[uuid.UUID]int{}}
	for _, e := range ends {
		d.insert(e)
	}
	return d
}

// add adds a VMM that ends now, with its last Status.
func (d *ended) add(s vmm.Status) end {
	e := end{time.Now(), s.ID, encodeEnded(s)}
	d.insert(e)
	return e
}

func (d *ended) insert(e end) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := len(d.ends)
	for at > 0 && e.at.Before(d.ends[at-1].at) {
		at--
	}
	if at > 0 && d.ends[at-1].id == e.id && d.ends[at-1].at.Equal(e.at) {
		return // a duplicate on disk
	}
	d.ends = slices.Insert(d.ends, at, e)
	if len(e.doc) > 0 {
		d.docs++
	}
	if at < d.bare {
		d.strip(at)
	}
	if d.count[e.id]++; d.count[e.id] > 1 {
		d.stripEarlier(e.id)
	}
	d.expire()
}

// strip drops the Status of an end.
func (d *ended) strip(i int) {
	if len(d.ends[i].doc) > 0 {
		d.docs--
	}
	d.ends[i].doc = nil
}

// stripEarlier keeps the Status of a VMM's latest end only.
func (d *ended) stripEarlier(id uuid.UUID) {
	kept := false
	for i, e := range slices.Backward(d.ends) {
		if e.id == id && kept {
			d.strip(i)
		}
		kept = kept || e.id == id && len(e.doc) > 0
	}
}

// expire applies the limits on number and age. It costs as much as it drops. The caller holds
// the lock.
func (d *ended) expire() {
	now := time.Now()
	for d.bare < len(d.ends) && (d.docs > maxEnded || d.ends[d.bare].older(d.keep, now)) {
		d.strip(d.bare)
		d.bare++
	}
	for len(d.ends) > 0 && (len(d.ends) > maxIDs || d.ends[0].older(max(keepIDs, d.keep), now)) {
		first := d.ends[0].id
		if d.count[first]--; d.count[first] == 0 {
			delete(d.count, first)
		}
		d.strip(0)
		d.ends, d.bare = d.ends[1:], max(0, d.bare-1)
	}
}

// all returns everything that is kept, oldest first.
func (d *ended) all() []end {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	return slices.Clone(d.ends)
}

// HasEnded reports whether a VMM with this id has ended here. Ids are kept longer
// than what Ended returns.
func (d *ended) HasEnded(id uuid.UUID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	return d.count[id] > 0
}

// Ended returns the last Status of an ended VMM, with its events.
func (d *ended) Ended(id uuid.UUID) (vmm.Status, bool) {
	return decodeEnded(d.last(id))
}

// last returns the latest end of a VMM that has a Status; the zero end if there is none.
func (d *ended) last(id uuid.UUID) end {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	if d.count[id] > 0 {
		for _, e := range slices.Backward(d.ends[d.bare:]) {
			if e.id == id && len(e.doc) > 0 {
				return e
			}
		}
	}
	return end{}
}

// AllEnded returns the last Status of every ended VMM that is still kept, latest
// first, without events.
func (d *ended) AllEnded() []vmm.Status {
	all := []vmm.Status{}
	for _, e := range slices.Backward(d.all()) {
		if s, ok := decodeEnded(e); ok {
			s.Events = nil
			all = append(all, s)
		}
	}
	return all
}

// endTexts returns the lines for VMMs that have ended.
func endTexts(ends []end) (texts []string) {
	for _, e := range ends {
		texts = append(texts, fmt.Sprintf("ended %d %s %s", e.at.UnixNano(), e.id, e.doc))
	}
	return texts
}

func parseEnd(text string) (e end, err error) {
	words := strings.SplitN(text, " ", 4)
	if len(words) < 4 || words[0] != "ended" {
		return e, fmt.Errorf("not a VMM that has ended: %q", text)
	}
	ns, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return e, err
	}
	id, err := uuid.Parse(words[2])
	return end{time.Unix(0, ns), id, []byte(words[3])}, err
}

// encodeEnded encodes a Status in at most maxEndedDoc bytes. It drops events from the
// middle and cuts long texts. It returns nil if that is not enough or a time cannot be
// encoded.
func encodeEnded(s vmm.Status) []byte {
	doc, err := json.Marshal(s)
	for keep := 4 * shortText; err == nil && len(doc) > maxEndedDoc; keep /= 2 {
		if keep < shortText {
			return nil
		}
		if n := len(s.Events); n > keep/16 {
			s.Events = append(slices.Clone(s.Events[:keep/32]), s.Events[n-keep/32:]...)
		}
		doc, err = clip(s, keep)
	}
	if err != nil {
		return nil
	}
	return doc
}

// shortText is a length in bytes that ids and times never exceed.
const shortText = 256

// clip encodes a Status as JSON with every text cut.
func clip(s vmm.Status, to int) ([]byte, error) {
	doc, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	return json.Marshal(clipValue(value, to))
}

func clipValue(value any, to int) any {
	switch v := value.(type) {
	case string:
		if len(v) > to {
			return strings.ToValidUTF8(v[:to], "")
		}
	case []any:
		for i := range v {
			v[i] = clipValue(v[i], to)
		}
	case map[string]any:
		for k := range v {
			v[k] = clipValue(v[k], to)
		}
	}
	return value
}

func decodeEnded(e end) (s vmm.Status, ok bool) {
	return s, len(e.doc) > 0 && json.Unmarshal(e.doc, &s) == nil && s.ID == e.id
}
