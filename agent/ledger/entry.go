package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// An Entry is what the ledger holds of one VMM.
type Entry struct {
	Registration *wire.Registration
	State        vmm.State
	Zone         Zone
	// Acked is the newest generation of the record that Nexus has acknowledged.
	Acked uint64
	// Removal is how far the zone's removal has come; nil before it begins.
	Removal *vmm.RemovalStatus
}

// Zone is what is known of the VMM's zone.
type Zone struct {
	// Incarnation is the boot of the zone that the VMM lives in; see zone.Info.
	Incarnation string `json:"incarnation,omitempty"`
	// Links maps a NIC's id to the datalink that serves it.
	Links map[string]string `json:"links,omitempty"`
}

// registrationDoc is a registration on disk. Spec is kept as bytes and not as
// JSON, which would come back with other white space.
type registrationDoc struct {
	wire.Registration
	Spec []byte `json:"Spec"`
}

// stateDoc is a state on disk. Deadlines are times on the boot clock.
type stateDoc struct {
	Boot     string           `json:"boot"`
	Phase    string           `json:"phase"`
	Since    time.Time        `json:"since"`
	Record   vmm.Record       `json:"record"`
	Cold     bool             `json:"cold,omitempty"`
	Src      string           `json:"src,omitempty"`
	Stop     *stopDoc         `json:"stop,omitempty"`
	Deadline *deadlineDoc     `json:"deadline,omitempty"`
	Epoch    uint64           `json:"epoch"`
	Outcome  vmm.Outcome      `json:"outcome,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	Disowned bool             `json:"disowned,omitempty"`
	Propolis vmm.PropolisSeen `json:"propolis"`
	Zone     Zone             `json:"zone"`
	// What follows spares the next process work and shows it what was: it is
	// saved when there is time, and none of it need be there.
	Acked   uint64             `json:"acked_gen,omitempty"`
	Removal *vmm.RemovalStatus `json:"removal,omitempty"`
}

type stopDoc struct {
	By        vmm.Who       `json:"by"`
	Requested time.Time     `json:"requested"`
	Grace     time.Duration `json:"grace_ns"`
	Asked     bool          `json:"asked,omitempty"`
	Acked     time.Time     `json:"acked,omitzero"`
}

type deadlineDoc struct {
	For vmm.Purpose `json:"for"`
	// At is in nanoseconds since the host has booted.
	At time.Duration `json:"at_ns"`
}

var purposes = []vmm.Purpose{vmm.ForStart, vmm.ForReboot, vmm.ForStop}

func encodeRegistration(r *wire.Registration) ([]byte, error) {
	doc := registrationDoc{Registration: *r, Spec: r.Spec}
	doc.Registration.Spec = nil
	return json.Marshal(doc)
}

func decodeRegistration(data []byte) (*wire.Registration, error) {
	var doc registrationDoc
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	reg := doc.Registration
	reg.Spec = doc.Spec
	if !reg.PropolisAddr.IsValid() || !json.Valid(reg.Spec) {
		return nil, fmt.Errorf("registration: address %s or spec is not valid", reg.PropolisAddr)
	}
	return &reg, nil
}

// encodeState writes a state. Its deadline was armed on the clock that now was
// read from; on the boot clock now is at.
func encodeState(e Entry, now time.Time, at time.Duration, boot string) ([]byte, error) {
	s := e.State
	doc := stateDoc{Boot: boot, Phase: s.Phase.String(), Since: s.Since.UTC(), Record: s.Record, Cold: s.Cold, Src: s.Src,
		Epoch: s.Epoch, Outcome: s.Outcome, Reason: s.Reason, Disowned: s.Disowned, Propolis: s.Propolis, Zone: e.Zone,
		Acked: e.Acked, Removal: e.Removal}
	if s.Stop != nil {
		doc.Stop = &stopDoc{s.Stop.By, s.Stop.Requested, s.Stop.Grace, s.Stop.Asked, s.Stop.Acked}
	}
	if s.Armed.For != vmm.ForNothing {
		doc.Deadline = &deadlineDoc{For: s.Armed.For, At: at + s.Armed.At.Sub(now)}
	}
	return json.Marshal(doc)
}

// decodeState reads an entry without its registration. rebooted tells that it is
// from an earlier boot of the host, whose deadlines have no meaning any more.
func decodeState(data []byte, now time.Time, at time.Duration, boot string, limits vmm.Limits) (e Entry, rebooted bool, err error) {
	var doc stateDoc
	if err := json.Unmarshal(data, &doc); err != nil {
		return e, false, fmt.Errorf("state: %w", err)
	}
	phase, ok := vmm.ParsePhase(doc.Phase)
	if !ok || !doc.Record.Valid() || doc.Outcome < vmm.Undecided || doc.Outcome > vmm.Failed {
		return e, false, fmt.Errorf("state: phase %q, record %+v or outcome %d is not one of a VMM", doc.Phase, doc.Record.VMM, doc.Outcome)
	}
	s := vmm.State{Phase: phase, Since: doc.Since, Record: doc.Record, Cold: doc.Cold, Src: doc.Src, Epoch: doc.Epoch,
		Outcome: doc.Outcome, Reason: doc.Reason, Disowned: doc.Disowned, Propolis: doc.Propolis, Limits: limits}
	if doc.Stop != nil {
		s.Stop = &vmm.StopRecord{By: doc.Stop.By, Requested: doc.Stop.Requested, Grace: doc.Stop.Grace,
			Asked: doc.Stop.Asked, Acked: doc.Stop.Acked}
	}
	rebooted = doc.Boot != boot
	if doc.Deadline != nil && !rebooted {
		s.Armed = vmm.Deadline{For: doc.Deadline.For, Epoch: doc.Epoch, At: now.Add(doc.Deadline.At - at)}
	}
	if phase == vmm.Stopping && s.Stop == nil {
		return e, false, fmt.Errorf("state: phase %q without a stop", doc.Phase)
	}
	if d := doc.Deadline; d != nil && !slices.Contains(purposes, d.For) {
		return e, false, fmt.Errorf("state: a deadline for %q", d.For)
	}
	return Entry{State: s, Zone: doc.Zone, Acked: doc.Acked, Removal: doc.Removal}, rebooted, nil
}
