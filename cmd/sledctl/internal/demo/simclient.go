package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
)

// A simClient talks to the simulators through their control routes.
type simClient struct {
	nexus   string // base URL of nexus-sim's control port
	records string // base URL at which it takes records
}

// row asks nexus-sim what it holds; the zero Row if it has not heard of the VMM.
func (c simClient) row(ctx context.Context, id uuid.UUID) (nexussim.Row, error) {
	var rows []nexussim.Row
	if err := call(ctx, http.MethodGet, c.nexus+"/vmms", "", &rows); err != nil {
		return nexussim.Row{}, fmt.Errorf("ask Nexus for VMM %s: %w", id, err)
	}
	for _, r := range rows {
		if r.ID == id {
			return r, nil
		}
	}
	return nexussim.Row{ID: id}, nil
}

// violations asks nexus-sim what contradictions it was told.
func (c simClient) violations(ctx context.Context) (vs []nexussim.Violation, err error) {
	if err := call(ctx, http.MethodGet, c.nexus+"/sim/violations", "", &vs); err != nil {
		return nil, fmt.Errorf("ask Nexus for contradictions: %w", err)
	}
	return vs, nil
}

// misbehave sets the faults of the propolis-sim at that address.
func (c simClient) misbehave(ctx context.Context, at netip.AddrPort, faults []string) error {
	body, err := json.Marshal(faults)
	if err != nil {
		return err
	}
	if err := call(ctx, http.MethodPut, fmt.Sprintf("http://%s/sim/faults", at), string(body), nil); err != nil {
		return fmt.Errorf("make propolis-sim misbehave: %w", err)
	}
	return nil
}

// powerOff has the guest of the propolis-sim at that address power itself off.
func (c simClient) powerOff(ctx context.Context, at netip.AddrPort) error {
	if err := call(ctx, http.MethodPost, fmt.Sprintf("http://%s/sim/do/guest-poweroff", at), "", nil); err != nil {
		return fmt.Errorf("power the guest off: %w", err)
	}
	return nil
}

// direct keeps no connection, so that none is left when the demo ends, and asks
// no proxy: everything is on this machine.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 8 << 20

func call(ctx context.Context, method, url, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := direct.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case res.StatusCode/100 != 2:
		return fmt.Errorf("%s: %s", res.Status, answer)
	case into == nil:
		return nil
	}
	return json.Unmarshal(answer, into)
}
