package api

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// route tells the router every path and what may be done with it.
func (s *Server) route() {
	for path, methods := range map[string]map[string]echo.HandlerFunc{
		"/vmms/:propolis_id":                         {http.MethodPut: s.register, http.MethodDelete: s.unregister},
		"/vmms/:propolis_id/state":                   {http.MethodPut: s.putState, http.MethodGet: s.getState},
		"/vmms/:propolis_id/disks/:disk_id/snapshot": {http.MethodPost: s.snapshot},
		"/zones":            {http.MethodGet: s.zones},
		"/sled-identifiers": {http.MethodGet: s.identifiers},
	} {
		for method, h := range methods {
			s.echo.Add(method, path, h)
		}
		allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		s.echo.RouteNotFound(path, func(c echo.Context) error {
			c.Response().Header().Set("Allow", allow)
			return &problem{status: http.StatusMethodNotAllowed}
		})
	}
}

func (s *Server) register(c echo.Context) error {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return err
	}
	registration, err := decode(s, c.Request(), wire.Decode)
	if err != nil {
		return err
	}
	ctx, cancel := detached(c.Request(), s.o.Call)
	defer cancel()
	rec, err := s.agent.Register(ctx, id, registration)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, utc(rec))
}

// updated is the answer to a change: the VMM's record after it, or null.
type updated struct {
	Runtime *vmm.Record `json:"updated_runtime"`
}

// unregister answers 200 for an unknown VMM too: a saga of Nexus's that undoes a
// migration takes 404 for fatal.
func (s *Server) unregister(c echo.Context) error {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return err
	}
	ctx, cancel := detached(c.Request(), s.o.Unregister)
	defer cancel()
	rec, err := s.agent.Unregister(ctx, id)
	if r, ok := errors.AsType[*vmm.Refusal](err); ok && r.Reason == vmm.Unknown {
		rec, err = nil, nil
	}
	switch {
	case err != nil:
		return err
	case rec == nil:
		return c.JSON(http.StatusOK, updated{})
	default:
		return c.JSON(http.StatusOK, newUpdated(*rec))
	}
}

func (s *Server) putState(c echo.Context) error {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return err
	}
	grace, err := parseGrace(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	want, err := decode(s, c.Request(), wire.DecodeState)
	if err != nil {
		return err
	}
	if grace != nil && want.Target != wire.Stopped {
		return badRequest("grace: only a stop has one, and this is %q", want.Target)
	}
	answer, err := s.bringTo(c.Request(), id, want, grace)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer)
}

// bringTo asks the agent for a state. What takes long is not waited for, and its
// answer is null.
func (s *Server) bringTo(r *http.Request, id uuid.UUID, want wire.StateRequest, grace *time.Duration) (updated, error) {
	budget := s.o.Call
	if want.Target == wire.Stopped {
		budget = s.o.Stop
	}
	ctx, cancel := detached(r, budget)
	defer cancel()
	var rec vmm.Record
	var err error
	switch want.Target {
	case wire.Running:
		return updated{}, s.agent.Run(ctx, id)
	case wire.MigrationTarget:
		return updated{}, s.agent.MigrateIn(ctx, id, want.Source)
	case wire.Stopped:
		rec, err = s.agent.Stop(ctx, id, grace)
	case wire.Reboot:
		rec, err = s.agent.Reboot(ctx, id)
	}
	return newUpdated(rec), err
}

func (s *Server) getState(c echo.Context) error {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return err
	}
	rec, err := s.agent.State(id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, utc(rec))
}

func (s *Server) snapshot(c echo.Context) error {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return err
	}
	disk, err := pathID(c, "disk_id")
	if err != nil {
		return err
	}
	snapshot, err := decode(s, c.Request(), wire.DecodeSnapshot)
	if err != nil {
		return err
	}
	ctx, cancel := detached(c.Request(), s.o.Call)
	defer cancel()
	if err := s.agent.Snapshot(ctx, id, disk.String(), snapshot); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]uuid.UUID{"snapshot_id": snapshot})
}

func (s *Server) zones(c echo.Context) error {
	ctx, cancel := detached(c.Request(), s.o.Call)
	defer cancel()
	names, err := s.agent.Zones(ctx)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, append([]string{}, slices.Sorted(slices.Values(names))...))
}

func (s *Server) identifiers(c echo.Context) error {
	return c.JSON(http.StatusOK, s.agent.Identifiers())
}

// pathID reads an id out of the path. Unlike in bodies, only the hyphenated form
// is one.
func pathID(c echo.Context, name string) (uuid.UUID, error) {
	value := c.Param(name)
	id, err := uuid.Parse(value)
	if err != nil || len(value) != 36 {
		return uuid.Nil, badRequest("bad parameter in URL path: %s: want a UUID, got %s", name, show(value))
	}
	return id, nil
}

// utc returns the record with its times in UTC, as the wire has them. It shares
// no memory that it changes.
func utc(rec vmm.Record) vmm.Record {
	rec.VMM.Updated = rec.VMM.Updated.UTC()
	rec.MigrationIn, rec.MigrationOut = migrationUTC(rec.MigrationIn), migrationUTC(rec.MigrationOut)
	return rec
}

func migrationUTC(m *vmm.Migration) *vmm.Migration {
	if m == nil {
		return nil
	}
	c := *m
	c.Updated = c.Updated.UTC()
	return &c
}

func newUpdated(rec vmm.Record) updated {
	rec = utc(rec)
	return updated{Runtime: &rec}
}
