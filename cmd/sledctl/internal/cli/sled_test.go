package cli

import (
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// The sled of the golden files: a VMM in each condition that needs attention, and some
// healthy ones.
var (
	now = time.Date(2026, 8, 21, 22, 35, 53, 0, time.UTC)

	wellID     = uuid.MustParse("3f2a9c01-77aa-4a0e-8f7e-3f0a3b8f6f10")
	twinID     = uuid.MustParse("3f2a9c01-d1b0-4f5c-9d55-0c1f6f1d2b77")
	stopID     = uuid.MustParse("52c0e7de-0d8f-4b9f-a1ff-7d1f3cbb0a01")
	stuckID    = uuid.MustParse("81bc22de-6f1e-4b6e-9a53-0d2f6ad0c111")
	silentID   = uuid.MustParse("9e0d4b7a-5c2e-4d0a-b0a7-51b7c1a9e002")
	endedID    = uuid.MustParse("b7711c90-2b7e-44a1-8c55-9d0c8e4f3a15")
	lateID     = uuid.MustParse("c4f5d2a6-93b1-4c57-a6a0-3f2b1d9c8e77")
	failedID   = uuid.MustParse("e81f0c3b-8a4d-4f2e-9b6c-2a7d5e1f4c90")
	instanceID = uuid.MustParse("0c2a57f4-1be5-4a5e-9a55-6f1d4b1d7c01")
)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func agoPtr(d time.Duration) *time.Time { t := ago(d); return &t }

func base(id uuid.UUID, hostname string, state vmm.WireState, gen uint64, phase vmm.Phase, since time.Duration) vmm.Status {
	return vmm.Status{
		ID: id, InstanceID: uuid.NewSHA1(instanceID, id[:]), Hostname: hostname,
		Zone: "oxz_propolis-server_" + id.String(), Addr: "[fd00:1122:3344:101::a]:12400",
		Record: vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen, Updated: ago(since)}},
		Phase:  phase.String(), Since: ago(since),
		Publish: &vmm.PublishStatus{Gen: gen, Acked: gen},
	}
}

func well() vmm.Status {
	s := base(wellID, "web-1", vmm.WireRunning, 7, vmm.Active, 76*time.Hour)
	s.PID = 4711
	s.Propolis = &vmm.PropolisStatus{State: "Running", Gen: 4, Seen: ago(76 * time.Hour)}
	s.Events = []vmm.Event{
		{At: ago(76*time.Hour + 16*time.Second), Kind: "registered", Text: "by Nexus, generation 2"},
		{At: ago(76*time.Hour + 15*time.Second + 820*time.Millisecond), Kind: "start", Text: "asked for by Nexus"},
		{At: ago(76*time.Hour + 14*time.Second), Kind: "booted", Took: 1800 * time.Millisecond},
		{At: ago(76 * time.Hour), Kind: "propolis", Text: "Running"},
	}
	return s
}

func twin() vmm.Status {
	s := base(twinID, "web-2", vmm.WireMigrating, 5, vmm.Active, 14*time.Second)
	s.WaitsFor = "the migration to finish"
	s.Record.MigrationIn = &vmm.Migration{ID: uuid.MustParse("6d1f0a9e-04a2-4f63-bd3c-6f0e7a1b2c3d"),
		State: vmm.MigrationInProgress, Gen: 2, Updated: ago(14 * time.Second)}
	s.Propolis = &vmm.PropolisStatus{State: "Migrating", Gen: 6, Seen: ago(time.Second)}
	return s
}

func stopping() vmm.Status {
	s := base(stopID, "db-1", vmm.WireStopping, 9, vmm.Stopping, 252*time.Second)
	s.PID, s.WaitsFor = 4802, "Propolis to report Destroyed"
	deadline := ago(252 * time.Second).Add(10 * time.Minute)
	s.Deadline, s.DeadlineFor = &deadline, "stop"
	s.Outcome, s.Reason = "destroyed", "nexus asked for a stop"
	s.Stop = &vmm.StopStatus{By: "nexus", Requested: ago(252 * time.Second), Grace: 10 * time.Minute, Soft: time.Minute,
		Acked: agoPtr(252*time.Second - 12*time.Millisecond)}
	s.Propolis = &vmm.PropolisStatus{State: "Stopping", Gen: 5, Seen: ago(251 * time.Second)}
	s.Events = []vmm.Event{
		{At: ago(27 * time.Hour), Kind: "propolis", Text: "Running"},
		{At: ago(252 * time.Second), Kind: "stop", Text: "asked for by Nexus, grace 10m"},
		{At: ago(252*time.Second - 12*time.Millisecond), Kind: "asked", Text: "Propolis accepted Stop", Took: 12 * time.Millisecond},
		{At: ago(251 * time.Second), Kind: "propolis", Text: "Stopping"},
	}
	return s
}

func stuck() vmm.Status {
	s := base(stuckID, "db-2", vmm.WireStopping, 11, vmm.Removing, 123*time.Second)
	s.PID, s.WaitsFor = 5120, "the zone to be halted"
	s.Deadline, s.DeadlineFor = agoPtr(123*time.Second), "stop"
	s.Outcome, s.Reason = "destroyed", "nexus asked for a stop"
	s.Stop = &vmm.StopStatus{By: "nexus", Requested: ago(243 * time.Second), Grace: 2 * time.Minute}
	s.Propolis = &vmm.PropolisStatus{State: "Running", Gen: 3, Seen: ago(26 * time.Hour), SilentSince: agoPtr(243 * time.Second),
		LastCall: "PUT state Stop", LastError: "no answer within 15s", Attempts: 6}
	s.Removal = &vmm.RemovalStatus{Begun: ago(123*time.Second - 400*time.Microsecond), Rung: "halt", ZoneState: "shutting_down",
		Attempt: 4, LastError: "zoneadm halt: no end within 30s; left to zoneadmd"}
	s.Publish = &vmm.PublishStatus{Gen: 11, Acked: 10, Attempts: 3, LastError: "PUT http://[fd00::3]:12221: 503 Service Unavailable"}
	s.Events = []vmm.Event{
		{At: ago(26 * time.Hour), Kind: "propolis", Text: "Running"},
		{At: ago(243 * time.Second), Kind: "stop", Text: "asked for by Nexus, grace 2m"},
		{At: ago(228 * time.Second), Kind: "asked", Text: "Propolis was asked to stop", Took: 15 * time.Second, Error: "PUT state Stop: no answer within 15s"},
		{At: ago(123 * time.Second), Kind: "deadline", Text: "stop: forced removal begins"},
		{At: ago(123*time.Second - 19*time.Millisecond), Kind: "kill", Text: "11 processes", Took: 3 * time.Millisecond},
		{At: ago(93 * time.Second), Kind: "halt", Text: "attempt 1", Took: 30 * time.Second, Error: "zoneadm halt: no end within 30s; left to zoneadmd"},
		{At: ago(30 * time.Second), Kind: "halt", Text: "attempt 4", Took: 30 * time.Second, Error: "zoneadm halt: no end within 30s; left to zoneadmd"},
	}
	return s
}

func silent() vmm.Status {
	s := base(silentID, "build-7", vmm.WireRunning, 6, vmm.Active, 5*time.Hour)
	s.Propolis = &vmm.PropolisStatus{State: "Running", Gen: 4, Seen: ago(5 * time.Hour), SilentSince: agoPtr(190 * time.Second)}
	return s
}

func ended() vmm.Status {
	s := base(endedID, "mail", vmm.WireDestroyed, 12, vmm.Ended, 41*time.Second)
	s.WaitsFor, s.Outcome, s.Reason = "Nexus to acknowledge generation 12", "destroyed", "the guest stopped"
	s.Stop = &vmm.StopStatus{By: "guest", Requested: ago(44 * time.Second), Grace: 10 * time.Minute}
	s.Removal = &vmm.RemovalStatus{Begun: ago(43 * time.Second), Rung: "verify", ZoneState: "absent", Attempt: 1, Gone: agoPtr(41 * time.Second)}
	s.Publish = &vmm.PublishStatus{Gen: 12, Acked: 11, Attempts: 1}
	return s
}

func late() vmm.Status {
	s := base(lateID, "ci-runner-with-a-long-name", vmm.WireStarting, 2, vmm.Booting, 17*time.Minute)
	s.WaitsFor, s.DeadlineFor, s.Deadline = "the zone to boot", "start", agoPtr(2*time.Minute)
	s.Degraded = "the ledger's disk is full: a restart would forget this deadline"
	return s
}

func failed1() vmm.Status {
	s := base(failedID, "cache-3", vmm.WireFailed, 8, vmm.Ended, 6*time.Minute)
	s.WaitsFor, s.Outcome, s.Reason = "Nexus to acknowledge generation 8", "failed", "its zone ended: signal: killed"
	s.Publish = &vmm.PublishStatus{Gen: 8, Acked: 7, Attempts: 21, LastError: "500 Internal Server Error"}
	return s
}

func wholeSled() []vmm.Status {
	return []vmm.Status{well(), twin(), stopping(), stuck(), silent(), ended(), late(), failed1()}
}

func theAgent() admin.About {
	return admin.About{Version: "0.1.0", SledID: "5bb1ae42-0d3c-4b51-9f0e-1e1d5b3f7a20", API: "http://[::1]:1",
		Backend: "illumos", Isolation: "one zone for each VMM", Started: ago(9 * 24 * time.Hour), PID: 1203,
		Nexus: []string{"http://[fd00::3]:12221", "http://[fd00::4]:12221"}}
}
