package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

var anyAddr = netip.MustParseAddrPort("[fd00:1122:3344:101::1]:12400")

// stopping returns a VMM that is stopping, with a deadline.
func stopping(deadline time.Time) Entry {
	s := vmm.New(vmm.Runtime{State: vmm.WireStopping, Gen: 3, Updated: deadline.UTC()}, nil, limits, deadline)
	s.Phase, s.Epoch = vmm.Stopping, 2
	s.Stop = &vmm.StopRecord{By: vmm.ByNexus, Requested: deadline, Grace: 10 * time.Minute, Asked: true}
	s.Armed = vmm.Deadline{For: vmm.ForStop, Epoch: 2, At: deadline}
	return Entry{Registration: registration(1, 64), State: s, Zone: Zone{Incarnation: "7"}}
}

// numbered returns an entry with a generation, by which tests distinguish entries. Its
// registration has a spec of the given size, and the hostname is the use of the id.
func numbered(use int, gen uint64, spec int) Entry {
	s := vmm.New(vmm.Runtime{State: vmm.WireRunning, Gen: gen}, nil, limits, time.Time{})
	s.Phase = vmm.Active
	return Entry{Registration: registration(use, spec), State: s}
}

func registration(use, spec int) *vmm.Registration {
	return &vmm.Registration{InstanceID: uuid.UUID{15: byte(use)}, PropolisAddr: anyAddr, Hostname: fmt.Sprint(use),
		Runtime: vmm.Runtime{State: vmm.WireStarting, Gen: 1},
		Spec:    json.RawMessage(`"` + string(bytes.Repeat([]byte{'a' + byte(use%26)}, spec)) + `"`)}
}

func vmmID(n int) uuid.UUID { return uuid.UUID{0: 0xee, 14: byte(n >> 8), 15: byte(n)} }

// genInput generates the inputs that a VMM in a state can receive.
func genInput(s vmm.State) *rapid.Generator[vmm.Input] {
	short := 3 * time.Second
	all := []vmm.Input{
		vmm.Start{}, vmm.MigrateIn{Src: "[fd00::1]:12400"}, vmm.Stop{By: vmm.ByNexus}, vmm.Stop{By: vmm.ByOperator, Grace: &short},
		vmm.Stop{By: vmm.ByNexus, Soft: 2 * limits.StopGrace}, vmm.Reboot{Soft: 2 * limits.RebootTimeout},
		vmm.Reboot{}, vmm.Unregister{}, vmm.Kill{}, vmm.ZoneBooted{}, vmm.Ensured{}, vmm.StartFailed{Why: "x"},
		vmm.Answered{Action: vmm.AskRun}, vmm.Answered{Action: vmm.AskStop}, vmm.Answered{Action: vmm.AskReboot},
		vmm.Lost{Why: "x"}, vmm.ZoneEnded{Why: "x"}, vmm.Expired{Epoch: s.Epoch, N: s.Flux.Removal}, vmm.ZoneGone{N: s.Flux.Removal},
		vmm.Published{Gen: s.Record.VMM.Gen, Heard: vmm.HeardAck}, vmm.Published{Gen: s.Record.VMM.Gen},
	}
	m := &vmm.ObservedMigration{ID: uuid.UUID{7}, Phase: "Sync"}
	for _, p := range vmm.PropolisStates() {
		all = append(all, vmm.Observed{State: p, Gen: s.Propolis.Gen + 1},
			vmm.Observed{State: p, Gen: s.Propolis.Gen + 1, MigrationIn: m},
			vmm.Observed{State: p, Gen: s.Propolis.Gen + 1, MigrationOut: m})
	}
	return rapid.SampledFrom(all)
}
