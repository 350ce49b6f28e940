package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// damage returns the error for a file with unreadable entries, or nil.
func (d *store) damage() error {
	switch {
	case d.damaged > 0:
		return fmt.Errorf("%s: %w: %d of its entries cannot be read", d.log.path, ErrDamaged, d.damaged)
	case d.lost != "":
		return fmt.Errorf("%s: %w: when it was made entries could not be read: %s", d.log.path, ErrDamaged, d.lost)
	}
	return nil
}

// Check reads a whole ledger and returns the number of its VMMs. It changes nothing.
func Check(path string) (vmms int, err error) {
	d, err := openStore(path)
	if err != nil {
		return 0, err
	}
	for _, id := range d.ids() {
		if _, err := d.registration(d.vmms[id]); err != nil {
			return 0, fmt.Errorf("%s: VMM %s: %w", path, id, err)
		}
	}
	return len(d.vmms), d.damage()
}

// dump is one VMM as Dump writes it.
type dump struct {
	ID           string          `json:"id"`
	State        json.RawMessage `json:"state,omitempty"`
	Registration json.RawMessage `json:"registration,omitempty"`
	Error        string          `json:"error,omitempty"`
}

// Dump writes every VMM of a ledger as a line of JSON, as it is on disk.
// A VMM that cannot be read becomes a line with an error.
func Dump(path string, w io.Writer) error {
	d, err := openStore(path)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	for _, id := range d.ids() {
		err = errors.Join(err, out.Encode(d.dump(id, d.vmms[id])))
	}
	for id, v := range d.unreadable {
		err = errors.Join(err, out.Encode(d.dump(id, v)))
	}
	if damage := d.damage(); damage != nil {
		err = errors.Join(err, out.Encode(dump{Error: damage.Error()}))
	}
	return err
}

// dump returns everything about a VMM, and the errors of what cannot be read.
func (d *store) dump(id uuid.UUID, v stored) dump {
	_, _, err := decodeState([]byte(v.state), time.Time{}, 0, "", vmm.Limits{})
	line := dump{ID: id.String(), State: json.RawMessage(v.state)}
	doc, failed := d.registrationDoc(v)
	if _, damaged := decodeRegistration(doc); failed == nil && damaged == nil {
		line.Registration = doc
	} else {
		failed = cmp.Or(failed, damaged)
	}
	if err = errors.Join(err, failed); err != nil {
		line.Error = err.Error()
	}
	return line
}

// Repaired is the result of Repair.
type Repaired struct {
	// Kept counts VMMs. Lost counts what cannot be read: entries, and VMMs without
	// a readable registration.
	Kept, Lost int
	// Old is the name of the damaged file.
	Old string
}

// Repair rewrites a damaged ledger from what can be read, and keeps the old file beside
// it. The next agent finds the zone of a lost VMM as an orphan; since the new ledger is
// fresh, it does not remove that zone. A file that cannot be read at all gives an empty
// ledger. One that is newer is not changed.
func Repair(path string) (r Repaired, err error) {
	d, err := openStore(path)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return r, err
	}
	r.Lost = d.damaged
	r.Old = damagedName(d.log.path)
	d.keep = r.Old
	if d.older > 0 {
		// In case that this process ends before the second write.
		d.contents.fresh, d.contents.lost = now(), "it was being repaired; "+r.Old
		if err := d.upgrade(); err != nil {
			return r, fmt.Errorf("repair ledger: %w", err)
		}
	}
	kept := newContents()
	for id, v := range d.vmms {
		_, err := d.registration(v)
		switch {
		case err == nil:
			kept.vmms[id] = v
		case errors.Is(err, ErrDamaged):
			r.Lost++
		default:
			return r, fmt.Errorf("repair ledger: VMM %s: %w", id, err)
		}
	}
	r.Kept = len(kept.vmms)
	if err := d.rewrite(kept); err != nil {
		return r, fmt.Errorf("repair ledger: %w", err)
	}
	d.log.forget()
	return r, nil
}
