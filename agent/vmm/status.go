package vmm

import (
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// A Status is everything there is to show of one VMM to a person who debugs it: what it
// is, what it waits for, since when, until when, and what went wrong last. It
// is data for people and scripts; nothing is decided by it. Times are wall
// clock; a nil time means "has not happened" or "does not apply".
type Status struct {
	ID         uuid.UUID `json:"id"`
	InstanceID uuid.UUID `json:"instance_id"`
	Hostname   string    `json:"hostname"`
	Zone       string    `json:"zone"`
	PID        int       `json:"pid,omitempty"`
	Addr       string    `json:"propolis_addr"`
	Record     Record    `json:"record"`
	// Phase is the agent's own name for where the VMM is in its life.
	Phase string    `json:"phase"`
	Since time.Time `json:"since"`
	// WaitsFor names what has to happen next, in words.
	WaitsFor string `json:"waits_for,omitempty"`
	// Deadline is when a forced removal begins by itself; DeadlineFor says
	// whose it is: "stop", "start" or "reboot".
	Deadline    *time.Time `json:"deadline,omitempty"`
	DeadlineFor string     `json:"deadline_for,omitempty"`
	// Outcome and Reason say how the VMM ends or ended, once that is decided.
	Outcome string `json:"outcome,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Disowned is set once Nexus has taken the VMM's state over by unregistering it.
	Disowned bool            `json:"disowned,omitempty"`
	Stop     *StopStatus     `json:"stop,omitempty"`
	Propolis *PropolisStatus `json:"propolis,omitempty"`
	Removal  *RemovalStatus  `json:"removal,omitempty"`
	Publish  *PublishStatus  `json:"publish,omitempty"`
	// Unsure lists the questions without an answer at the moment. Nothing follows
	// from them; they are asked again.
	Unsure []UnsureStatus `json:"unsure,omitempty"`
	// Network is nil if there is none and nothing is wrong with it.
	Network *NetworkStatus `json:"network,omitempty"`
	// Evidence is the directory of what was collected before the newest deadline; empty if
	// nothing was. It is deleted in time.
	Evidence string `json:"evidence,omitempty"`
	// Degraded says which promise is weakened and why; empty when none is.
	Degraded string `json:"degraded,omitempty"`
	// Events are the VMM's last events, oldest first. Lists leave them out.
	Events []Event `json:"events,omitempty"`
}

// StopStatus describes a stop that is pending or was carried out.
type StopStatus struct {
	// By is who asked: "nexus", "guest" or "operator", the last with the user's name if it
	// is known: "operator root".
	By        string        `json:"by"`
	Requested time.Time     `json:"requested"`
	Grace     time.Duration `json:"grace_ns"`
	// Soft is how long the guest may take to power off by itself; 0 if it is stopped by
	// force at once.
	Soft time.Duration `json:"soft_ns,omitempty"`
	// Acked is when Propolis accepted the request to stop.
	Acked *time.Time `json:"acked,omitempty"`
}

// PropolisStatus is what Propolis reported last, and whether it still answers.
type PropolisStatus struct {
	State string    `json:"state"`
	Gen   uint64    `json:"gen"`
	Seen  time.Time `json:"seen"`
	// SilentSince is set while Propolis does not answer.
	SilentSince *time.Time `json:"silent_since,omitempty"`
	// LastCall and LastError describe the last call that failed.
	LastCall  string `json:"last_call,omitempty"`
	LastError string `json:"last_error,omitempty"`
	Attempts  int    `json:"attempts,omitempty"`
}

// UnsureStatus is one question that could not be answered.
type UnsureStatus struct {
	// Of is the subject of the question: "zone" or "propolis".
	Of    Subject   `json:"of"`
	Since time.Time `json:"since"`
	// Why is what the newest answer said, Asked counts the questions since then.
	Why   string `json:"why"`
	Asked int    `json:"asked"`
}

// RemovalStatus is the progress of the zone's removal.
type RemovalStatus struct {
	Begun time.Time `json:"begun"`
	// Rung is the step that was tried last, ZoneState what the host said last
	// of the zone, Attempt how often that step was tried.
	Rung      string `json:"rung"`
	ZoneState string `json:"zone_state"`
	Attempt   int    `json:"attempt"`
	LastError string `json:"last_error,omitempty"`
	// Gone is when the zone was verified gone.
	Gone *time.Time `json:"gone,omitempty"`
}

// NetworkStatus is the VMM's networking, and whether the host could be set up for it.
type NetworkStatus struct {
	Ephemeral []netip.Addr   `json:"ephemeral,omitempty"`
	Floating  []netip.Addr   `json:"floating,omitempty"`
	SourceNAT []string       `json:"source_nat,omitempty"`
	Groups    []GroupStatus  `json:"multicast_groups,omitempty"`
	Subnets   []SubnetStatus `json:"attached_subnets,omitempty"`
	// RecordOnly is set if this host sets up nothing of it.
	RecordOnly bool `json:"record_only,omitempty"`
	// Trouble is set while the host cannot be set up; that is tried again.
	Trouble *PortsTrouble `json:"trouble,omitempty"`
}

// GroupStatus is a multicast group and the sources that are accepted; none means any.
type GroupStatus struct {
	IP      netip.Addr   `json:"ip"`
	Sources []netip.Addr `json:"sources,omitempty"`
}

// SubnetStatus is an attached subnet.
type SubnetStatus struct {
	Net  netip.Prefix `json:"net"`
	Kind string       `json:"kind"`
}

// PortsTrouble is why the host could not be set up, and since when.
type PortsTrouble struct {
	Since     time.Time `json:"since"`
	LastError string    `json:"last_error"`
	Attempts  int       `json:"attempts"`
}

// PublishStatus is what Nexus has acknowledged of the VMM.
type PublishStatus struct {
	// Gen is the newest generation offered to Nexus, Acked the newest it acknowledged.
	Gen   uint64 `json:"gen"`
	Acked uint64 `json:"acked"`
	// Attempts counts the tries of the record that is being offered.
	Attempts  int    `json:"attempts,omitempty"`
	LastError string `json:"last_error,omitempty"`
}

// An Event is one thing that happened to a VMM.
type Event struct {
	At time.Time `json:"at"`
	// Kind is a short stable word, such as "stop", "asked", "deadline", "kill",
	// "gone", "published"; Text is for people.
	Kind string `json:"kind"`
	Text string `json:"text,omitempty"`
	// Times counts the events that were folded into this one, if there were more
	// than one; Last is when the newest of them was, whose Text, Took and Error these are.
	Times int        `json:"times,omitempty"`
	Last  *time.Time `json:"last,omitempty"`
	// Took is how long it took, for what takes time.
	Took  time.Duration `json:"took_ns,omitempty"`
	Error string        `json:"error,omitempty"`
}
