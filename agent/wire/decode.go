package wire

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/dropshot"
)

// An Error is why a body is refused.
type Error = dropshot.Invalid

// Decode decodes and validates the body of a registration (InstanceEnsureBody) as it is at a
// version of the API. The error is an *Error. The Registration shares no memory with the
// body.
func Decode(version uint64, body []byte) (*vmm.Registration, error) {
	checked, b, err := decodeAs[ensureBody](version, "vmm_register", body)
	if err != nil {
		return nil, err
	}
	r := &vmm.Registration{
		InstanceID: b.InstanceID, PropolisAddr: b.PropolisAddr, MigrationID: b.MigrationID,
		Runtime: vmm.Runtime{State: b.Runtime.State, Gen: b.Runtime.Gen, Updated: time.Time(b.Runtime.Updated)},
		Spec:    []byte(b.Spec),
		SiloID:  b.Metadata.SiloID, ProjectID: b.Metadata.ProjectID,
	}
	for _, m := range members {
		value, ok := b.LocalConfig[m.key]
		if !ok || version < m.since || version >= m.before {
			continue
		}
		if err := m.read(r, value); err != nil {
			err.Path = "local_config." + m.key + err.Path
			return nil, err
		}
	}
	if bad := consistent(checked, r); bad != nil {
		return nil, bad
	}
	return r, nil
}

// An ensureBody is a registration as it is in every version. The members of the local
// configuration depend on the version.
type ensureBody struct {
	InstanceID   uuid.UUID      `json:"instance_id"`
	MigrationID  *uuid.UUID     `json:"migration_id"`
	PropolisAddr netip.AddrPort `json:"propolis_addr"`
	Metadata     struct {
		SiloID    uuid.UUID `json:"silo_id"`
		ProjectID uuid.UUID `json:"project_id"`
	} `json:"metadata"`
	Runtime struct {
		State   vmm.WireState `json:"state"`
		Gen     uint64        `json:"gen"`
		Updated instant       `json:"time_updated"`
	} `json:"vmm_runtime"`
	// Spec is passed on to Propolis to the byte.
	Spec        jsontext.Value            `json:"vmm_spec"`
	LocalConfig map[string]jsontext.Value `json:"local_config"`
}

// An instant is a time in any form of RFC 3339.
type instant time.Time

func (i *instant) UnmarshalText(text []byte) error {
	t, err := dropshot.ParseTime(string(text))
	*i = instant(t)
	return err
}

// unmarshal decodes what was checked. Names must match in case, unlike with encoding/json.
// An error means that the document accepts what a type here does not.
func unmarshal(text []byte, into any) *Error {
	if err := json.Unmarshal(text, into); err != nil {
		return &Error{Want: "a value that can be decoded", Got: err.Error(), Offset: int64(len(text))}
	}
	return nil
}

// A Target is a state that Nexus requests for a VMM.
type Target string

const (
	Running         Target = "running"
	Stopped         Target = "stopped"
	Reboot          Target = "reboot"
	MigrationTarget Target = "migration_target"
)

// A StateRequest is a request for a state of a VMM (VmmPutStateBody).
type StateRequest struct {
	Target Target
	// Source is the address of the migration's source, if Target is MigrationTarget.
	Source netip.AddrPort
	// Soft is how long the guest may take to shut down before a stop or a reboot is
	// forced; nil if none was given. Other states have none, whatever the body says.
	Soft *time.Duration
}

// maxSoft is the longest Soft in seconds. A longer one is cut to it, and by the agent to
// its maximum grace.
const maxSoft = uint64(math.MaxInt64 / time.Second)

// usual are the bodies of nearly all requests for a state, as Nexus writes them. To check one
// against the document costs a quarter of what the server needs for such a request.
var usual = sync.OnceValue(func() map[string]StateRequest {
	decoded := map[string]StateRequest{}
	for _, target := range []Target{Running, Stopped, Reboot} {
		body := fmt.Sprintf(`{"state":{"type":%q}}`, target)
		decoded[body], _ = decodeState([]byte(body))
	}
	return decoded
})

// DecodeState decodes and validates the body of a request for a state. The error is an
// *Error.
func DecodeState(body []byte) (StateRequest, error) {
	if req, ok := usual()[string(body)]; ok {
		return req, nil
	}
	return decodeState(body)
}

func decodeState(body []byte) (StateRequest, error) {
	checked, b, err := decodeAs[struct {
		State struct {
			Type  Target         `json:"type"`
			Value jsontext.Value `json:"value"`
		} `json:"state"`
		Soft *uint64 `json:"acpi_timeout_secs"`
	}](Newest, "vmm_put_state", body)
	if err != nil {
		return StateRequest{}, err
	}
	req := StateRequest{Target: b.State.Type}
	if b.Soft != nil && (req.Target == Stopped || req.Target == Reboot) {
		soft := time.Duration(min(*b.Soft, maxSoft)) * time.Second
		req.Soft = &soft
	}
	if req.Target == MigrationTarget {
		var source struct {
			Addr netip.AddrPort `json:"src_propolis_addr"`
		}
		if err := unmarshal(b.State.Value, &source); err != nil {
			return StateRequest{}, err
		}
		req.Source = source.Addr
		if bad := dialable(checked, req.Source, "state", "value", "src_propolis_addr"); bad != nil {
			return StateRequest{}, bad
		}
	}
	return req, nil
}

// DecodeSnapshot decodes and validates the body of a request for a snapshot and returns
// the snapshot's id. The error is an *Error.
func DecodeSnapshot(body []byte) (uuid.UUID, error) {
	b, err := Body[struct {
		ID uuid.UUID `json:"snapshot_id"`
	}]("vmm_issue_disk_snapshot_request")(body)
	return b.ID, err
}

// Body returns a function that checks the body of an operation of the newest version and
// decodes it. The error is an *Error.
func Body[T any](operation string) func(body []byte) (T, error) {
	return func(body []byte) (T, error) {
		_, value, err := decodeAs[T](Newest, operation, body)
		return value, err
	}
}

// decodeAs is Body for an operation of a version. It also returns what was checked, for more
// checks.
func decodeAs[T any](version uint64, operation string, body []byte) (c dropshot.Checked, value T, err error) {
	c, bad := apiAt(version).Operation(operation).Check(body)
	if bad == nil {
		bad = unmarshal(c.Text, &value)
	}
	if bad != nil {
		return c, value, bad
	}
	return c, value, nil
}
