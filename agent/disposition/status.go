package disposition

import "time"

// A Status is a sled's disposition for people and scripts.
type Status struct {
	Disposition Value `json:"disposition"`
	// Why says why the sled takes no new VMMs; absent if it does.
	Why string `json:"why,omitempty"`
	// Operator is the operator's drain, Nexus its sled configuration; absent if there is
	// none.
	Operator *DrainStatus  `json:"operator,omitempty"`
	Nexus    *ConfigStatus `json:"nexus,omitempty"`
	// VMMs is the number of VMMs that the agent holds, including ended ones that Nexus has
	// not acknowledged.
	VMMs int `json:"vmms"`
	// Troubles are errors of the files that hold the disposition.
	Troubles []string `json:"troubles,omitempty"`
}

// A DrainStatus is a drain in force.
type DrainStatus struct {
	By    string        `json:"by"`
	Since time.Time     `json:"since"`
	Grace time.Duration `json:"grace_ns"`
	// Deadline is when the removal of the last VMMs begins by force.
	Deadline time.Time `json:"deadline"`
}

// A ConfigStatus is what the newest sled configuration says.
type ConfigStatus struct {
	Disposition Value     `json:"disposition"`
	Generation  uint64    `json:"generation"`
	Received    time.Time `json:"received"`
}

// Status describes a State of a sled that holds this many VMMs.
func (s *Store) Status(now State, vmms int) Status {
	out := Status{Disposition: now.Value(), Why: now.Why(), VMMs: vmms, Troubles: now.Troubles()}
	if d := now.Operator; d != nil {
		out.Operator = &DrainStatus{By: d.By, Since: d.Since, Grace: d.Grace, Deadline: d.deadline(s.clock)}
	}
	if c := now.Config; c != nil {
		out.Nexus = &ConfigStatus{Disposition: c.Disposition, Generation: c.Generation, Received: c.Received}
	}
	return out
}
