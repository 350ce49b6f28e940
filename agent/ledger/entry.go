package ledger

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bootclock"
)

// An Entry is the ledger's record of one VMM.
type Entry struct {
	// Registration is written once. If it is on disk already, Save accepts an entry
	// without it. States returns entries without it.
	Registration *vmm.Registration
	// Identity is the part of the registration that is needed before it is decoded.
	// Save takes it from the registration if there is one.
	Identity Identity
	State    vmm.State
	Zone     Zone
	// Acked is the newest generation of the record that Nexus acknowledged.
	Acked uint64
	// Removal is the progress of the zone's removal; nil before it begins.
	Removal *vmm.RemovalStatus
}

// Identity identifies a VMM.
type Identity struct {
	InstanceID   uuid.UUID      `json:"instance_id"`
	Hostname     string         `json:"hostname,omitempty"`
	PropolisAddr netip.AddrPort `json:"propolis_addr"`
}

func identityOf(r *vmm.Registration) Identity {
	return Identity{r.InstanceID, r.Hostname, r.PropolisAddr}
}

// Zone is the VMM's zone, with everything that its removal needs: the configuration
// may have changed by then.
type Zone struct {
	// Name is the zone's name, Path its directory.
	Name string `json:"name,omitempty"`
	Path string `json:"path,omitempty"`
	// Incarnation is the boot of the zone in which the VMM runs; see zone.Info.
	Incarnation string `json:"incarnation,omitempty"`
	// Links maps a NIC's id to the datalink that serves it.
	Links map[string]string `json:"links,omitempty"`
	// Datalinks are all datalinks that were created for the zone.
	Datalinks []string `json:"datalinks,omitempty"`
}

var purposes = []vmm.Purpose{vmm.ForStart, vmm.ForReboot, vmm.ForStop}

// encodeState encodes a state. now is read from the clock that armed its deadline, and
// at is the same moment on the boot clock.
func encodeState(e Entry, now time.Time, at time.Duration, boot string) ([]byte, error) {
	s := e.State
	doc := stateDoc{Boot: boot, Phase: s.Phase.String(), Since: s.Since.UTC(), Record: newRecordDoc(s.Record), Cold: s.Cold,
		Src: s.Src, Stop: (*stopDoc)(s.Stop), RebootGrace: s.RebootGrace, Epoch: s.Epoch, Outcome: s.Outcome.String(), Reason: s.Reason, Disowned: s.Disowned,
		Propolis: propolisDoc(s.Propolis), Zone: e.Zone, Identity: e.Identity, Ports: newPortsDoc(s.Ports), Acked: e.Acked, Removal: (*removalDoc)(e.Removal)}
	if e.Registration != nil {
		doc.Identity = identityOf(e.Registration)
	}
	if s.Armed.For != vmm.ForNothing {
		doc.Deadline = &deadlineDoc{For: s.Armed.For, At: at + s.Armed.At.Sub(now)}
	}
	return json.Marshal(doc)
}

// decodeState decodes an entry without its registration. rebooted reports whether
// the entry is known to be from another boot of the host.
func decodeState(data []byte, now time.Time, at time.Duration, boot string, limits vmm.Limits) (e Entry, rebooted bool, err error) {
	var doc stateDoc
	if err := json.Unmarshal(data, &doc); err != nil {
		return e, false, fmt.Errorf("state: %w", err)
	}
	phase, known := vmm.ParsePhase(doc.Phase)
	outcome, decided := parseOutcome(doc.Outcome)
	record := doc.Record.record()
	if !known || !decided || !record.Valid() {
		return e, false, fmt.Errorf("state: invalid phase %q, record %+v or outcome %q", doc.Phase, record.VMM, doc.Outcome)
	}
	s := vmm.State{Phase: phase, Since: doc.Since, Record: record, Cold: doc.Cold, Src: doc.Src, Stop: (*vmm.StopRecord)(doc.Stop),
		RebootGrace: doc.RebootGrace,
		Epoch:       doc.Epoch, Outcome: outcome, Reason: doc.Reason, Disowned: doc.Disowned, Propolis: vmm.PropolisSeen(doc.Propolis),
		Ports: doc.Ports.ports(), Limits: limits}
	if d := doc.Deadline; d != nil {
		s.Armed = vmm.Deadline{For: d.For, Epoch: doc.Epoch, At: now.Add(min(d.At-at, longest(d.For, s)))}
	}
	if !doc.Identity.PropolisAddr.IsValid() {
		return e, false, fmt.Errorf("state: invalid address: %+v", doc.Identity)
	}
	if phase == vmm.Stopping && s.Stop == nil {
		return e, false, fmt.Errorf("state: phase %q without a stop", doc.Phase)
	}
	if d := doc.Deadline; d != nil && !slices.Contains(purposes, d.For) {
		return e, false, fmt.Errorf("state: invalid purpose of a deadline: %q", d.For)
	}
	e = Entry{Identity: doc.Identity, State: s, Zone: doc.Zone, Acked: doc.Acked, Removal: (*vmm.RemovalStatus)(doc.Removal)}
	return e, bootclock.Differ(doc.Boot, boot), nil
}

// longest is the maximum distance of a deadline when it was armed.
//
// Every restored deadline is cut to it, so that none depends on the boot id. In the
// boot that armed it, the boot clock has the exact time, and the bound changes nothing.
// After a reboot that clock starts anew: the deadline may be early, for a VM that ended
// with its host, or late by at most this bound. If it were not restored and the id were
// wrong, a running VM would be left without a deadline.
func longest(p vmm.Purpose, s vmm.State) time.Duration {
	switch {
	case p == vmm.ForStart:
		return s.Limits.StartTimeout
	case p == vmm.ForReboot:
		return max(s.Limits.RebootTimeout, s.RebootGrace)
	case s.Stop != nil:
		return s.Stop.Grace
	}
	return s.Limits.MaxStopGrace
}
