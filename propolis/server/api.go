package server

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
)

//go:embed openapi.json
var document []byte

// Document returns the OpenAPI document of version 6.0.0.
func Document() []byte { return bytes.Clone(document) }

// api is the API of version 6.0.0. api5 is the one before, without the write cache setting
// of NVMe disks. api7 is the one after, whose requests for a state are objects: with a
// time in seconds, a stop or a reboot presses the guest's power button first.
var (
	api  = sync.OnceValue(func() *dropshot.API { return dropshot.Load(document) })
	api5 = sync.OnceValue(func() *dropshot.API {
		text := bytes.Replace(document, []byte(`"has_write_cache": {"type": "boolean"},`), nil, 1)
		return dropshot.Load(bytes.Replace(text, []byte(`"has_write_cache", `), nil, 1))
	})
	api7 = sync.OnceValue(func() *dropshot.API {
		return dropshot.Load(bytes.Replace(document, []byte(stateWord), []byte(stateObject), 1))
	})
)

const (
	stateWord   = `{"schema": {"$ref": "#/components/schemas/InstanceStateRequested"}}`
	stateObject = `{"schema": {"type": "object", "required": ["state"], "properties": {
		"state": {"$ref": "#/components/schemas/InstanceStateRequested"},
		"acpi_timeout_secs": {"type": "integer", "format": "uint64", "minimum": 0, "nullable": true}}}}`
)

// A Call is a kind of request.
type Call uint8

// The calls.
const (
	CallGet Call = iota
	CallEnsure
	CallRun
	CallStop
	CallReboot
	CallMonitor
	CallSnapshot
	CallSpec
	CallMigration
	NumCalls
)

// CallNames are the names of calls, as a simulator's faults use them.
var CallNames = [NumCalls]string{"get", "ensure", "run", "stop", "reboot", "monitor", "snapshot", "spec",
	"migration-status"}

// stateCalls are the requests of PUT /instance/state.
var stateCalls = map[string]struct {
	call    Call
	request Request
}{"Run": {CallRun, Run}, "Stop": {CallStop, Stop}, "Reboot": {CallReboot, Reboot}}

// An operation carries a call out. It may block until ctx ends, which is the Server's context
// and not the client's.
type operation func(ctx context.Context) Answer

// OK is an answer with a body.
func OK(body any) Answer { return Answer{Status: http.StatusOK, Body: body} }

// Refusal is an error answer.
func Refusal(e *dropshot.Error) Answer { return Answer{Status: e.Status, Body: e} }

// NoInstance is the answer of a server without a VM.
func NoInstance() Answer {
	return Refusal(&dropshot.Error{Status: http.StatusFailedDependency, Code: "NoInstance",
		Message: "Server not initialized (no instance)"})
}

// read determines which call a request is, and its operation. It checks the version first,
// then the path, then the body.
func (x *Exchange) read(r *http.Request) *dropshot.Error {
	v, bad := dropshot.RequestVersion(r.Header, x.s.newest)
	if bad != nil {
		return bad
	}
	served := api
	switch {
	case v[0] < 6:
		served = api5
	case v[0] > 6:
		served = api7
	}
	o, vars, bad := served().Route(r)
	if bad != nil {
		return bad
	}
	switch s := x.s; o.ID {
	case "instance_get":
		x.Call, x.op = CallGet, s.onVM(initialising, (*VM).getInstance)
		return nil
	case "instance_spec_get":
		x.Call, x.op = CallSpec, s.onVM(initialising, (*VM).getSpec)
		return nil
	case "instance_migrate_status":
		x.Call, x.op = CallMigration, s.onVM(initialising, func(v *VM) Answer { return OK(v.view.Migration) })
		return nil
	case "instance_issue_crucible_snapshot_request":
		x.Call, x.op = CallSnapshot, func(ctx context.Context) Answer { return s.snapshot(ctx, vars[0], vars[1]) }
		return nil
	case "instance_migrate_start":
		x.direct = func() *dropshot.Error { return s.sendAway(x.Writer, r, uuid.MustParse(vars[0])) }
		return nil
	case "instance_serial":
		x.direct = func() *dropshot.Error { return s.attach(x.Context, x.Writer, r) }
		return nil
	case "instance_serial_history_get":
		x.direct = func() *dropshot.Error { x.Send(s.history(r.URL.Query())); return nil }
		return nil
	case "instance_ensure":
		x.Call = CallEnsure
		s.interceptor.Arrived(x)
	case "instance_state_monitor":
		x.Call = CallMonitor
		s.interceptor.Arrived(x)
	}
	body, bad := o.Body(r)
	if bad != nil {
		return bad
	}
	return x.readBody(v, body)
}

// readBody completes read for operations with a body.
func (x *Exchange) readBody(v dropshot.Version, body json.RawMessage) (bad *dropshot.Error) {
	s := x.s
	switch x.Call {
	case CallEnsure:
		e, bad := decodeEnsure(body)
		x.op = func(ctx context.Context) Answer { return s.ensure(ctx, e) }
		return bad
	case CallMonitor:
		var want struct{ Gen uint64 }
		if err := json.Unmarshal(body, &want); err != nil {
			return dropshot.BadJSON(err.Error())
		}
		x.op = func(ctx context.Context) Answer { return s.monitor(ctx, want.Gen) }
		return nil
	}
	var change struct {
		State string `json:"state"`
		Secs  uint64 `json:"acpi_timeout_secs"`
	}
	var into any = &change
	if v[0] < 7 {
		into = &change.State
	}
	if err := json.Unmarshal(body, into); err != nil {
		return dropshot.BadJSON(err.Error())
	}
	wanted := stateCalls[change.State]
	wait := time.Duration(min(change.Secs, uint64(math.MaxInt64/time.Second))) * time.Second
	x.Call, x.op = wanted.call, s.onVM(active, func(v *VM) Answer { return v.putState(wanted.request, wait) })
	return nil
}

// onVM makes an operation of a function that does not block. It is called with the lock
// held if the VM's stage is at least need and, if need is active, not beyond it.
func (s *Server) onVM(need stage, do func(*VM) Answer) operation {
	return func(context.Context) Answer {
		s.lock()
		defer s.unlock()
		if s.vm == nil || need == active && s.vm.stage != active {
			return NoInstance()
		}
		return do(s.vm)
	}
}

func (v *VM) properties() json.RawMessage {
	id := v.s.defects.Instance
	var properties map[string]any
	if id == uuid.Nil || json.Unmarshal(v.ensured.Properties, &properties) != nil {
		return v.ensured.Properties
	}
	properties["id"] = id
	return encode(properties)
}

func (v *VM) getInstance() Answer {
	return OK(map[string]any{"instance": map[string]any{"properties": v.properties(), "state": v.view.State}})
}

func (v *VM) getSpec() Answer {
	spec := map[string]any{"type": "Present", "value": v.ensured.Spec}
	if v.ensured.Target && v.stage == initialising {
		spec = map[string]any{"type": "WaitingForMigrationSource"}
	}
	return OK(map[string]any{"properties": v.properties(), "state": v.view.State, "spec": spec})
}

// snapshot takes a snapshot of a Crucible disk, without the lock.
func (s *Server) snapshot(ctx context.Context, disk, id string) Answer {
	var v *VM
	a := s.onVM(active, func(active *VM) Answer { v = active; return OK(json.RawMessage("null")) })(ctx)
	if v == nil {
		return a
	}
	m, can := v.machine.(Snapshotter)
	if !can || !slices.Contains(v.ensured.crucible, disk) {
		return Refusal(dropshot.Plain(http.StatusNotFound, ""))
	}
	if err := m.Snapshot(ctx, disk, uuid.MustParse(id)); err != nil {
		s.log.Error().Err(err).Str("disk", disk).Str("snapshot", id).Msg("snapshot not taken")
		return Refusal(dropshot.Plain(http.StatusInternalServerError, "Internal"))
	}
	return a
}

func (v *VM) putState(r Request, wait time.Duration) Answer {
	ask := v.ask
	if r == Stop || r == Reboot {
		ask = func(r Request) ruling { return v.askSoftly(r, wait) }
	}
	if ruling := ask(r); ruling != take && ruling != ignore {
		return Refusal(dropshot.Plain(http.StatusForbidden, "instance state change not allowed: "+string(ruling)))
	}
	return Answer{Status: http.StatusNoContent}
}
