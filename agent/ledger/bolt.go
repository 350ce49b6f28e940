package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Schemas 1 and 2 are bbolt files with these buckets:
//
//	meta       schema; fresh, if the ledger is fresh
//	states     state by id, in schema 2
//	vmms       one bucket per id: registration; in schema 1 also state
//	ended      last Status by time and id; ended_ids has the same keys and no values
//
// Each value is followed by a line with its checksum.
const lastBolt = 2

// readBolt reads a ledger of schema 1 or 2, and skips what is damaged.
func (d *store) readBolt(path string) error {
	d.contents = contents{vmms: map[uuid.UUID]stored{}}
	// In a damaged file bbolt panics, or faults in the memory that it maps.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var db *bolt.DB
	err := caught(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err = caught(func() error { return db.View(d.readTx) }); err != nil && d.older > 0 {
		d.damaged, err = d.damaged+1, nil // the rest was read
	}
	if err != nil && !errors.Is(err, ErrNewer) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return errors.Join(err, caught(db.Close))
}

func caught(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return f()
}

func (d *store) readTx(tx *bolt.Tx) error {
	meta, vmms, states := tx.Bucket([]byte("meta")), tx.Bucket([]byte("vmms")), tx.Bucket([]byte("states"))
	if meta == nil || vmms == nil {
		return errors.New("it has no schema")
	}
	text, err := unseal("meta", "schema", meta.Get([]byte("schema")))
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(string(text))
	switch {
	case err != nil || version < 1 || version == lastBolt && states == nil:
		return fmt.Errorf("its schema is %q", text)
	case version > lastBolt:
		return newer(version)
	}
	d.older = version
	if at := meta.Get([]byte("fresh")); at != nil {
		d.contents.fresh = now()
	}
	err = vmms.ForEachBucket(func(id []byte) error {
		b := vmms.Bucket(id)
		state := b.Get([]byte("state"))
		if states != nil {
			state = states.Get(id)
		}
		if err := d.readBoltVMM(string(id), state, b.Get([]byte("registration"))); err != nil {
			d.damaged++
		}
		return nil
	})
	if err == nil && states != nil {
		err = states.ForEach(func(id, _ []byte) error {
			if vmms.Bucket(id) == nil {
				d.damaged++
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	if caught(func() error { return d.readBoltEnds(tx) }) != nil {
		d.endsDamaged++
	}
	return nil
}

// oldStateDoc is a state in schemas 1 and 2, where the outcome is a number.
type oldStateDoc struct {
	stateDoc
	Outcome int `json:"outcome,omitempty"`
}

// readBoltVMM reads a VMM. It keeps the bytes of a damaged registration. Schema 1 has
// the identity in the registration only.
func (d *store) readBoltVMM(key string, state, registration []byte) error {
	id, err := uuid.Parse(key)
	if err != nil {
		return err
	}
	state, err = unseal(key, "state", state)
	if err != nil {
		return err
	}
	var doc oldStateDoc
	if err := json.Unmarshal(state, &doc); err != nil {
		return err
	}
	names := []string{"", "destroyed", "failed"}
	if doc.Outcome < 0 || doc.Outcome >= len(names) {
		return fmt.Errorf("outcome %d", doc.Outcome)
	}
	doc.stateDoc.Outcome = names[doc.Outcome]
	whole, err := unseal(key, "registration", registration)
	if err == nil {
		registration = whole
	} else if registration == nil {
		return err
	}
	if !doc.Identity.PropolisAddr.IsValid() {
		r, err := decodeRegistration(whole)
		if err != nil {
			return err
		}
		doc.Identity = identityOf(r)
	}
	if state, err = json.Marshal(doc.stateDoc); err != nil {
		return err
	}
	if _, _, err := decodeState(state, time.Time{}, 0, "", vmm.Limits{}); err != nil {
		return err
	}
	d.vmms[id] = stored{state: string(state), at: ref{size: len(registration)}, registration: bytes.Clone(registration)}
	return nil
}

func (d *store) readBoltEnds(tx *bolt.Tx) error {
	docs := map[string][]byte{}
	for _, bucket := range []string{"ended", "ended_ids"} {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			continue
		}
		err := b.ForEach(func(key, value []byte) error {
			doc, err := unseal(bucket, string(key), value)
			switch {
			case err != nil || len(key) != 8+len(uuid.UUID{}):
				d.endsDamaged++
			case bucket == "ended":
				docs[string(key)] = oldEnd(doc)
			default:
				at := time.Unix(0, int64(binary.BigEndian.Uint64(key)))
				d.ends = append(d.ends, end{at, uuid.UUID(key[8:]), docs[string(key)]})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oldEnd converts a Status of schema 2, which was two lines of JSON: the Status without
// its events, then the events.
func oldEnd(doc []byte) []byte {
	var s vmm.Status
	head, tail, _ := bytes.Cut(doc, []byte{'\n'})
	if json.Unmarshal(head, &s) != nil || json.Unmarshal(tail, &s.Events) != nil {
		return nil
	}
	return encodeEnded(s)
}

// unseal verifies the checksum of a bucket's value and returns the value without it.
func unseal(bucket, key string, value []byte) ([]byte, error) {
	n := len(value) - len("\n00000000")
	if n < 0 {
		return nil, fmt.Errorf("no %s", key)
	}
	placed := bytes.Join([][]byte{[]byte(bucket), []byte(key), value[:n]}, []byte{0})
	if string(value[n:]) != fmt.Sprintf("\n%08x", checksum(placed)) {
		return nil, fmt.Errorf("%s: %w", key, errSum)
	}
	return value[:n:n], nil
}
