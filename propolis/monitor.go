package propolis

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/plain"
)

// Monitor waits until the VM's generation is at least gen and returns the VM's newest
// state. If the generation has been reached it returns at once. The wait is bounded only
// by ctx. A server may wrongly answer with an older generation; the caller can tell by
// Gen.
func (c *Client) Monitor(ctx context.Context, gen uint64) (Observation, error) {
	k := call{
		op: "GET /instance/state-monitor", method: http.MethodGet, path: "/instance/state-monitor",
		body: fmt.Appendf(nil, `{"gen":%d}`, gen), want: http.StatusOK,
	}
	body, err := c.do(ctx, k)
	if err != nil {
		return Observation{}, err
	}
	o, err := readObservation(body)
	if err != nil {
		return Observation{}, k.malformed(err)
	}
	return o, nil
}

// A wireMigration is InstanceMigrationStatus. Its fields are pointers to detect missing
// ones.
type wireMigration struct {
	ID    *uuid.UUID     `json:"id"`
	Phase MigrationPhase `json:"state"`
}

// readObservation reads an InstanceStateMonitorResponse. Migrations that are absent from
// it are nil.
func readObservation(body []byte) (Observation, error) {
	var wire struct {
		Gen       *uint64 `json:"gen"`
		State     State   `json:"state"`
		Migration *struct {
			In  *wireMigration `json:"migration_in"`
			Out *wireMigration `json:"migration_out"`
		} `json:"migration"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return Observation{}, err
	}
	if wire.Gen == nil || wire.Migration == nil {
		return Observation{}, errIncomplete
	}
	if !wire.State.known() {
		return Observation{}, fmt.Errorf("unknown state %q", plain.Line(string(wire.State), 64))
	}
	in, err := wire.Migration.In.read()
	if err != nil {
		return Observation{}, fmt.Errorf("read migration_in: %w", err)
	}
	out, err := wire.Migration.Out.read()
	if err != nil {
		return Observation{}, fmt.Errorf("read migration_out: %w", err)
	}
	return Observation{Gen: *wire.Gen, State: wire.State, MigrationIn: in, MigrationOut: out}, nil
}

func (w *wireMigration) read() (*Migration, error) {
	switch {
	case w == nil:
		return nil, nil
	case w.ID == nil:
		return nil, errIncomplete
	case !w.Phase.known():
		return nil, fmt.Errorf("unknown phase %q", plain.Line(string(w.Phase), 64))
	}
	return &Migration{ID: *w.ID, Phase: w.Phase}, nil
}
