package vmm

import (
	"time"

	"github.com/google/uuid"
)

// A Status says all there is to say of one VMM to whoever debugs it: what it
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
	// Degraded says which promise is weakened and why; empty when none is.
	Degraded string `json:"degraded,omitempty"`
	// Events are the VMM's last events, oldest first. Lists leave them out.
	Events []Event `json:"events,omitempty"`
}

// StopStatus tells of a stop that is pending or was carried out.
type StopStatus struct {
	// By is who asked: "nexus", "operator" or "guest".
	By        string        `json:"by"`
	Requested time.Time     `json:"requested"`
	Grace     time.Duration `json:"grace_ns"`
	// Acked is when Propolis accepted the request to stop.
	Acked *time.Time `json:"acked,omitempty"`
}

// PropolisStatus tells what Propolis said last and whether it still speaks.
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

// RemovalStatus tells how far the zone's removal has come.
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

// PublishStatus tells what Nexus knows of the VMM.
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
	// Took is how long it took, for what takes time.
	Took  time.Duration `json:"took_ns,omitempty"`
	Error string        `json:"error,omitempty"`
}
