package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/conns"
)

// route adds every path and its methods to the router.
func (s *Server) route(router *echo.Echo) {
	for path, methods := range map[string]methods{
		"/vmms/:propolis_id":                         {http.MethodPut: conns.JSON(s.register), http.MethodDelete: conns.JSON(s.unregister)},
		"/vmms/:propolis_id/state":                   {http.MethodPut: conns.JSON(s.putState), http.MethodGet: conns.JSON(s.getState)},
		"/vmms/:propolis_id/disks/:disk_id/snapshot": {http.MethodPost: conns.JSON(s.snapshot)},
		"/zones":            {http.MethodGet: conns.JSON(s.zones)},
		"/sled-identifiers": {http.MethodGet: conns.JSON(s.identifiers)},
		"/inventory":        {http.MethodGet: conns.JSON(s.inventory)},
		"/omicron-config":   {http.MethodPut: s.configure},
	} {
		add(router, path, methods)
	}
	s.routePorts(router)
	s.routeBundles(router)
	s.routeSupport(router)
	s.routeVPCs(router)
}

// methods are the handlers of a path.
type methods = map[string]echo.HandlerFunc

// add adds a path to the router. Its other methods are answered 405.
func add(router *echo.Echo, path string, handlers methods) {
	for method, h := range handlers {
		router.Add(method, path, h)
	}
	allow := strings.Join(slices.Sorted(maps.Keys(handlers)), ", ")
	router.RouteNotFound(path, func(c echo.Context) error {
		c.Response().Header().Set("Allow", allow)
		return &problem{status: http.StatusMethodNotAllowed}
	})
}

func (s *Server) register(c echo.Context) (rec vmm.Record, err error) {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return rec, err
	}
	registration, done, err := decodeHeld(s, c, func(body []byte) (*vmm.Registration, error) {
		return wire.Decode(versionOf(c), body)
	})
	if err != nil {
		return rec, err
	}
	defer done() // it is on disk or refused by then
	ctx, end, err := s.begin(c)
	if err != nil {
		return rec, err
	}
	defer end()
	rec, err = s.agent.Register(ctx, id, registration)
	return utc(rec), registrationError(err)
}

// updated is the answer to a change: the VMM's record afterwards, or null.
type updated struct {
	Runtime *vmm.Record `json:"updated_runtime"`
}

// unregister answers 200 for an unknown VMM too: the saga that undoes a migration in
// Nexus treats 404 as fatal.
func (s *Server) unregister(c echo.Context) (answer updated, err error) {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return answer, err
	}
	ctx, cancel := detached(c, unregisterBudget)
	defer cancel()
	rec, err := s.agent.Unregister(ctx, id)
	if vmm.Refused(err, vmm.Unknown) {
		return answer, nil
	}
	if rec != nil {
		answer = newUpdated(*rec)
	}
	return answer, err
}

func (s *Server) putState(c echo.Context) (answer updated, err error) {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return answer, err
	}
	grace, err := parseGrace(c.Request().URL.RawQuery)
	if err != nil {
		return answer, err
	}
	want, err := decode(s, c, wire.DecodeState)
	if err != nil {
		return answer, err
	}
	if want.Target != wire.Stopped {
		if err := permit(c, Operate); err != nil {
			return answer, err
		}
	}
	var soft time.Duration
	if want.Soft != nil {
		soft = *want.Soft
	}
	if want.Target == wire.Stopped {
		ctx, cancel := detached(c, stopBudget)
		defer cancel()
		rec, err := s.agent.Stop(ctx, id, grace, soft)
		return newUpdated(rec), err
	}
	if grace != nil {
		return answer, badRequest("grace: only a stop has one, and this is %q", want.Target)
	}
	ctx, end, err := s.begin(c)
	if err != nil {
		return answer, err
	}
	defer end()
	switch want.Target { // the answer is null for operations that take long
	case wire.Running:
		err = s.agent.Run(ctx, id)
	case wire.MigrationTarget:
		err = s.agent.MigrateIn(ctx, id, want.Source)
	case wire.Reboot:
		var rec vmm.Record
		rec, err = s.agent.Reboot(ctx, id, soft)
		answer = newUpdated(rec)
	}
	return answer, err
}

func (s *Server) getState(c echo.Context) (rec vmm.Record, err error) {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return rec, err
	}
	rec, err = s.agent.State(id)
	return utc(rec), err
}

func (s *Server) snapshot(c echo.Context) (answer map[string]uuid.UUID, err error) {
	id, err := pathID(c, "propolis_id")
	if err != nil {
		return nil, err
	}
	disk, err := pathID(c, "disk_id")
	if err != nil {
		return nil, err
	}
	snapshot, err := decode(s, c, wire.DecodeSnapshot)
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.begin(c)
	if err != nil {
		return nil, err
	}
	defer end()
	err = s.agent.Snapshot(ctx, id, disk.String(), snapshot)
	return map[string]uuid.UUID{"snapshot_id": snapshot}, err
}

func (s *Server) zones(c echo.Context) ([]string, error) {
	ctx, end, err := s.begin(c)
	if err != nil {
		return nil, err
	}
	defer end()
	names, err := s.agent.Zones(ctx)
	return append([]string{}, slices.Sorted(slices.Values(names))...), err
}

func (s *Server) identifiers(echo.Context) (Identifiers, error) {
	ids := s.agent.Identifiers()
	if ids.SledID == uuid.Nil {
		return ids, &vmm.Refusal{Reason: vmm.Loading, Detail: "the sled's id is not known yet"}
	}
	return ids, nil
}

// pathID parses an id from the path, which unlike in bodies must be hyphenated.
func pathID(c echo.Context, name string) (uuid.UUID, error) {
	value := c.Param(name)
	id, err := uuid.Parse(value)
	if err != nil || len(value) != 36 {
		return uuid.Nil, badRequest("bad parameter in URL path: %s: want a UUID, got %s", name, show(value))
	}
	return id, nil
}

// utc returns the record with its times in UTC. It copies what it changes.
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
