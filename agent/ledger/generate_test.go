package ledger

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

func genID() *rapid.Generator[uuid.UUID] {
	return rapid.Custom(func(t *rapid.T) uuid.UUID {
		var id uuid.UUID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		return id
	})
}

// genTime generates wall-clock times of the years 1 to 9998 in any time zone: the clock
// of a host may be unset.
func genTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.IntRange(0, 9).Draw(t, "never") == 0 {
			return time.Time{}
		}
		zone := time.FixedZone("", 60*rapid.IntRange(-12*60, 14*60).Draw(t, "minutes"))
		return time.Unix(rapid.Int64Range(-62e9, 253e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).In(zone)
	})
}

func genRuntime() *rapid.Generator[vmm.Runtime] {
	return rapid.Custom(func(t *rapid.T) vmm.Runtime {
		return vmm.Runtime{State: rapid.SampledFrom(vmm.WireStates()).Draw(t, "state"),
			Gen: rapid.Uint64Min(1).Draw(t, "gen"), Updated: genTime().Draw(t, "updated")}
	})
}

func genMigration() *rapid.Generator[*vmm.Migration] {
	states := []vmm.MigrationState{vmm.MigrationPending, vmm.MigrationInProgress, vmm.MigrationFailed, vmm.MigrationCompleted}
	return rapid.Ptr(rapid.Custom(func(t *rapid.T) vmm.Migration {
		return vmm.Migration{ID: genID().Draw(t, "id"), State: rapid.SampledFrom(states).Draw(t, "state"),
			Gen: rapid.Uint64().Draw(t, "gen"), Updated: genTime().Draw(t, "updated")}
	}), true)
}

func genStop(t *rapid.T) *vmm.StopRecord {
	return &vmm.StopRecord{By: rapid.SampledFrom([]vmm.Who{vmm.ByNexus, vmm.ByOperator, vmm.ByGuest}).Draw(t, "by"),
		Requested: genTime().Draw(t, "requested"), Grace: genSpan(0).Draw(t, "grace"), Soft: genSpan(0).Draw(t, "soft"),
		Asked: rapid.Bool().Draw(t, "asked"), Acked: genTime().Draw(t, "acked")}
}

func genSpan(from time.Duration) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.Int64Range(int64(from), int64(365*24*time.Hour)),
		func(ns int64) time.Duration { return time.Duration(ns) })
}

// genState generates states from independent parts, including unreachable ones. The
// deadline is relative to now.
func genState(now time.Time) *rapid.Generator[vmm.State] {
	return rapid.Custom(func(t *rapid.T) vmm.State {
		s := vmm.State{Phase: vmm.Phase(rapid.IntRange(int(vmm.Registered), int(vmm.Forgotten)).Draw(t, "phase")),
			Since: genTime().Draw(t, "since"), Cold: rapid.Bool().Draw(t, "cold"), Src: rapid.String().Draw(t, "src"),
			Record: vmm.Record{VMM: genRuntime().Draw(t, "vmm"), MigrationIn: genMigration().Draw(t, "in"),
				MigrationOut: genMigration().Draw(t, "out")},
			Epoch: rapid.Uint64().Draw(t, "epoch"), Reason: rapid.String().Draw(t, "reason"),
			Outcome:  vmm.Outcome(rapid.IntRange(int(vmm.Undecided), int(vmm.Failed)).Draw(t, "outcome")),
			Disowned: rapid.Bool().Draw(t, "disowned"), Limits: limits, RebootGrace: genSpan(0).Draw(t, "rebootGrace"),
			Ports: rapid.Ptr(genPorts(), true).Draw(t, "ports"),
			Propolis: vmm.PropolisSeen{State: rapid.SampledFrom(vmm.PropolisStates()).Draw(t, "seen"),
				Gen: rapid.Uint64().Draw(t, "seenGen"), At: genTime().Draw(t, "seenAt")}}
		if s.Phase == vmm.Stopping || rapid.Bool().Draw(t, "stop") {
			s.Stop = genStop(t)
		}
		purpose := rapid.SampledFrom([]vmm.Purpose{vmm.ForNothing, vmm.ForStart, vmm.ForReboot, vmm.ForStop})
		if p := purpose.Draw(t, "for"); p != vmm.ForNothing {
			s.Armed = vmm.Deadline{For: p, Epoch: s.Epoch, At: now.Add(genSpan(-time.Hour).Draw(t, "in"))}
		}
		return s
	})
}

func genRegistration() *rapid.Generator[*vmm.Registration] {
	return rapid.Custom(func(t *rapid.T) *vmm.Registration {
		r := &vmm.Registration{InstanceID: genID().Draw(t, "instance"), Runtime: genRuntime().Draw(t, "runtime"),
			PropolisAddr: netip.AddrPortFrom(netip.AddrFrom16(genID().Draw(t, "addr")), rapid.Uint16Min(1).Draw(t, "port")),
			MigrationID:  rapid.Ptr(genID(), true).Draw(t, "migration"), Spec: genSpec().Draw(t, "spec"),
			Hostname: rapid.String().Draw(t, "hostname"), SiloID: genID().Draw(t, "silo"), ProjectID: genID().Draw(t, "project"),
			Zvols: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "zvols"), PrimaryMTU: rapid.IntRange(0, 9000).Draw(t, "mtu")}
		for range rapid.IntRange(0, 3).Draw(t, "nics") {
			r.NICs = append(r.NICs, vmm.NIC{ID: genID().Draw(t, "nic"), Name: rapid.String().Draw(t, "name"),
				MAC: "A8:40:25:F0:00:01", Slot: rapid.IntRange(0, 7).Draw(t, "slot"), VNI: rapid.Uint32().Draw(t, "vni"),
				Primary: rapid.Bool().Draw(t, "primary")})
		}
		return r
	})
}

// genSpec generates JSON that encoders do not reproduce: with white space, duplicate
// members, escapes and numbers of any length.
func genSpec() *rapid.Generator[json.RawMessage] {
	piece := rapid.SampledFrom([]string{`"a":1`, "\n\t\"a\" : 1.0e+00", `"<&>":"\u003c<\/"`, "\"\u2028\":\"\U0001F600\"",
		`"n":123456789012345678901234567890.0`, `"o":{ "z":[ ], "a" :null}`, "\"\x7f\":[true ,false]"})
	return rapid.Map(rapid.SliceOfN(piece, 0, 200), func(pieces []string) json.RawMessage {
		spec := "{"
		for i, p := range pieces {
			if i > 0 {
				spec += " ,"
			}
			spec += p
		}
		return json.RawMessage(spec + " }\n")
	})
}

func genEntry(now time.Time) *rapid.Generator[Entry] {
	return rapid.Custom(func(t *rapid.T) Entry {
		return Entry{Registration: genRegistration().Draw(t, "registration"), State: genState(now).Draw(t, "state"),
			Zone: Zone{Name: rapid.String().Draw(t, "name"), Path: rapid.String().Draw(t, "path"),
				Incarnation: rapid.String().Draw(t, "incarnation"), Datalinks: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "datalinks"),
				Links: rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "links")},
			Acked: rapid.Uint64().Draw(t, "acked"), Removal: rapid.Ptr(genRemoval(), true).Draw(t, "removal")}
	})
}

func genRemoval() *rapid.Generator[vmm.RemovalStatus] {
	return rapid.Custom(func(t *rapid.T) vmm.RemovalStatus {
		return vmm.RemovalStatus{Begun: genTime().Draw(t, "begun"), Rung: rapid.String().Draw(t, "rung"),
			ZoneState: rapid.String().Draw(t, "zone state"), Attempt: rapid.Int().Draw(t, "attempt"),
			LastError: rapid.String().Draw(t, "error"), Gone: rapid.Ptr(genTime(), true).Draw(t, "gone")}
	})
}
