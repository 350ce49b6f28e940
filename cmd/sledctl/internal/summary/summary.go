// Package summary condenses what the agent says of a sled, its VMMs and Nexus into what
// "sledctl status" shows. It is pure.
package summary

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A Summary is a sled in brief.
type Summary struct {
	// Well is false if anything is in trouble. A sled that is drained may be well.
	Well  bool               `json:"well"`
	Agent admin.About        `json:"agent"`
	Drain disposition.Status `json:"drain"`
	Nexus Nexus              `json:"nexus"`
	// VMMs counts them by their state on the wire.
	VMMs map[vmm.WireState]int `json:"vmms_by_state"`
	// Degraded is the number of VMMs of which something accepted is not on disk.
	Degraded int `json:"vmms_degraded"`
	// Orphans is the number of zones that belong to no VMM.
	Orphans int `json:"orphan_zones"`
	// Troubles are those of the sled, Unwell the VMMs in trouble.
	Troubles []string `json:"troubles"`
	Unwell   []VMM    `json:"vmms_in_trouble"`
}

// Nexus is what is known of the control plane.
type Nexus struct {
	Replicas int `json:"replicas"`
	// Silent is the number of replicas that gave no answer.
	Silent int `json:"replicas_avoided"`
	// Waiting is the number of VMMs of which Nexus has not acknowledged the newest state,
	// Since the time of the oldest of those states.
	Waiting int        `json:"publishes_waiting"`
	Since   *time.Time `json:"waiting_since,omitempty"`
	// Refused and GaveUp count records since the agent's start.
	Refused int `json:"refused_total"`
	GaveUp  int `json:"gave_up_total"`
}

// A VMM is one in trouble.
type VMM struct {
	ID       uuid.UUID     `json:"id"`
	Hostname string        `json:"hostname"`
	State    vmm.WireState `json:"state"`
	// Troubles are its troubles, worst first.
	Troubles []string `json:"troubles"`
}

// Of summarizes an agent's answers. metrics are those of admin.Client.Metrics.
func Of(about admin.About, drain disposition.Status, all []vmm.Status, metrics map[string]float64, now time.Time) Summary {
	s := Summary{Agent: about, Drain: drain, VMMs: map[vmm.WireState]int{}, Troubles: []string{}, Unwell: []VMM{}}
	number := func(name string) int { return int(metrics["sled_agent_"+name]) }
	s.Nexus = Nexus{Replicas: number("nexus_replicas"), Silent: number("nexus_replicas_avoided"),
		Refused: number("publish_refused_total"), GaveUp: number("publish_gave_up_total")}
	if _, ok := metrics["sled_agent_nexus_replicas"]; !ok {
		s.Nexus.Replicas = len(about.Nexus)
	}
	s.Orphans = number("orphan_zones")
	for _, v := range all {
		s.VMMs[v.Record.VMM.State]++
		if troubles := admin.Troubles(v, now); len(troubles) > 0 {
			s.Unwell = append(s.Unwell, VMM{v.ID, v.Hostname, v.Record.VMM.State, troubles})
		}
		if v.Degraded != "" {
			s.Degraded++
		}
		if admin.Unpublished(v) {
			s.Nexus.Waiting++
			if s.Nexus.Since == nil || v.Record.VMM.Updated.Before(*s.Nexus.Since) {
				s.Nexus.Since = &v.Record.VMM.Updated
			}
		}
	}
	s.Troubles = append(append(s.Troubles, about.Troubles...), s.Nexus.troubles(about)...)
	s.Well = len(s.Troubles)+len(s.Unwell) == 0
	return s
}

func (n Nexus) troubles(about admin.About) []string {
	standalone := len(about.Nexus)+len(about.NexusDNS) == 0
	switch {
	case standalone:
		return nil
	case n.Replicas == 0:
		return []string{"Nexus: no replica is known"}
	case n.Silent >= n.Replicas:
		return []string{fmt.Sprintf("Nexus: none of %d replicas answers", n.Replicas)}
	}
	return nil
}
