package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos"
)

// askZoneadm returns the question of the host's own zoneadm.
func askZoneadm(m *illumos.Manager) func(context.Context) api.ZoneadmInfo {
	return func(ctx context.Context) api.ZoneadmInfo {
		name, printed, exit, err := m.Zoneadm(ctx)
		if err != nil {
			return api.ZoneadmInfo{Failure: &api.CommandError{Error: err.Error()}}
		}
		return api.ZoneadmInfo{Success: &api.CommandOutput{Command: name, Stdio: printed,
			ExitStatus: fmt.Sprintf("exit status: %d", exit), ExitCode: &exit}}
	}
}

// likeZoneadm lists the zones of a host without zoneadm as "zoneadm list -cip" would: a
// line for each, with the pid of its server in the place of the zone's id. No command ran,
// so there is no exit code.
func likeZoneadm(m zone.Manager) func(context.Context) api.ZoneadmInfo {
	return func(ctx context.Context) api.ZoneadmInfo {
		zones, err := m.List(ctx)
		if err != nil {
			return api.ZoneadmInfo{Failure: &api.CommandError{Error: err.Error()}}
		}
		var text strings.Builder
		for _, z := range zones {
			id := "-"
			if z.PID != 0 {
				id = fmt.Sprint(z.PID)
			}
			fmt.Fprintf(&text, "%s:%s:%s:::process:%s\n", id, z.Name, z.State, plain.Line(z.Detail, 256))
		}
		return api.ZoneadmInfo{Success: &api.CommandOutput{Command: "the agent's list of process zones",
			Stdio: text.String(), ExitStatus: "no command was run"}}
	}
}
