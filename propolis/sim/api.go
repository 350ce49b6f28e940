package sim

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

// A call is a kind of request, as faults name it.
type call uint8

const (
	callGet call = iota
	callEnsure
	callRun
	callStop
	callReboot
	callMonitor
	callSnapshot
	callSpec
	callMigration
	numCalls
)

// callNames are also used in the names of faults.
var callNames = [numCalls]string{"get", "ensure", "run", "stop", "reboot", "monitor", "snapshot", "spec",
	"migration-status"}

// stateCalls are the requests of PUT /instance/state.
var stateCalls = map[string]struct {
	call    call
	request request
}{"Run": {callRun, run}, "Stop": {callStop, stop}, "Reboot": {callReboot, reboot}}

// An operation carries a call out. It may block until ctx ends, which is the simulator's
// context and not the client's.
type operation func(ctx context.Context) answer

// An answer is a complete response before it is sent: faults may change how it is sent.
type answer struct {
	status int
	body   any    // encoded as JSON; nil for none
	after  func() // called after the answer was sent
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

func refusal(e *dropshot.Error) answer { return answer{status: e.Status, body: e} }

func noInstance() answer {
	return refusal(&dropshot.Error{Status: http.StatusFailedDependency, Code: "NoInstance",
		Message: "Server not initialized (no instance)"})
}

// read determines which call a request is. It checks the version first, then the path,
// then the body.
func (x *exchange) read(r *http.Request) (c call, op operation, bad *dropshot.Error) {
	v, bad := dropshot.RequestVersion(r.Header, x.s.newest)
	if bad != nil {
		return 0, nil, bad
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
		return 0, nil, bad
	}
	switch s := x.s; o.ID {
	case "instance_get":
		return callGet, s.onVM(initialising, (*vm).getInstance), nil
	case "instance_spec_get":
		return callSpec, s.onVM(initialising, (*vm).getSpec), nil
	case "instance_migrate_status":
		return callMigration, s.onVM(initialising, func(v *vm) answer { return ok(v.shown().Migration) }), nil
	case "instance_issue_crucible_snapshot_request":
		return callSnapshot, s.onVM(active, func(v *vm) answer { return v.snapshot(vars[0]) }), nil
	case "instance_ensure":
		x.stayDeaf(callEnsure)
	case "instance_state_monitor":
		x.stayDeaf(callMonitor)
	}
	body, bad := o.Body(r)
	if bad != nil {
		return 0, nil, bad
	}
	return x.s.readBody(o.ID, v, body)
}

// readBody completes read for operations with a body.
func (s *Server) readBody(id string, v dropshot.Version, body json.RawMessage) (call, operation, *dropshot.Error) {
	switch id {
	case "instance_ensure":
		made, bad := decodeEnsure(body)
		return callEnsure, func(ctx context.Context) answer { return s.ensure(ctx, made) }, bad
	case "instance_state_monitor":
		var want struct{ Gen uint64 }
		if err := json.Unmarshal(body, &want); err != nil {
			return 0, nil, dropshot.BadJSON(err.Error())
		}
		return callMonitor, func(ctx context.Context) answer { return s.monitor(ctx, want.Gen) }, nil
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
		return 0, nil, dropshot.BadJSON(err.Error())
	}
	wanted := stateCalls[change.State]
	wait := time.Duration(min(change.Secs, uint64(math.MaxInt64/time.Second))) * time.Second
	return wanted.call, s.onVM(active, func(v *vm) answer { return v.putState(wanted.request, wait) }), nil
}

// onVM makes an operation of a function that does not block. It is called with the lock
// held if the VM's stage is at least need and, if need is active, not beyond it.
func (s *Server) onVM(need stage, do func(*vm) answer) operation {
	return func(context.Context) answer {
		s.lock()
		defer s.unlock()
		if s.vm == nil || need == active && s.vm.stage != active {
			return noInstance()
		}
		return do(s.vm)
	}
}

// properties returns the VM's properties as changed by faults.
func (v *vm) properties() json.RawMessage {
	id := v.s.faults.wrongInstance
	var properties map[string]any
	if id == uuid.Nil || json.Unmarshal(v.made.properties, &properties) != nil {
		return v.made.properties
	}
	properties["id"] = id
	return encode(properties)
}

func (v *vm) getInstance() answer {
	return ok(map[string]any{"instance": map[string]any{"properties": v.properties(), "state": v.view.State}})
}

func (v *vm) getSpec() answer {
	spec := map[string]any{"type": "Present", "value": v.made.spec}
	if v.made.target && v.stage == initialising {
		spec = map[string]any{"type": "WaitingForMigrationSource"}
	}
	return ok(map[string]any{"properties": v.properties(), "state": v.view.State, "spec": spec})
}

func (v *vm) snapshot(disk string) answer {
	if !slices.Contains(v.made.crucible, disk) {
		return refusal(dropshot.Plain(http.StatusNotFound, ""))
	}
	return ok(json.RawMessage("null"))
}

func (v *vm) putState(r request, wait time.Duration) answer {
	ask := v.ask
	if r == stop || r == reboot {
		ask = func(r request) ruling { return v.askSoftly(r, wait) }
	}
	if ruling := ask(r); ruling != take && ruling != ignore {
		return refusal(dropshot.Plain(http.StatusForbidden, "instance state change not allowed: "+string(ruling)))
	}
	return answer{status: http.StatusNoContent}
}
