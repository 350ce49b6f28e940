package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/conns"
	"github.com/sledagent/sledagent/zone"
)

func (s *Server) routeZones(e *echo.Echo) {
	e.GET("/v1/zones", conns.JSON(func(echo.Context) (vmm.ZoneList, error) { return s.agent.ListZones(), nil }))
	e.DELETE("/v1/zones/:name", conns.JSON(s.removeZone))
}

// removeZone is carried out even if the client disconnects, like a kill.
func (s *Server) removeZone(c echo.Context) (status vmm.ZoneStatus, err error) {
	name, err := url.PathUnescape(c.Param("name"))
	if err == nil {
		err = zone.ValidName(name)
	}
	if err != nil {
		return status, badRequest("%v", err)
	}
	ctx, cancel := detached(c)
	defer cancel()
	if status, err = s.agent.RemoveZone(ctx, caller.Of(ctx, vmm.ByOperator), name); err != nil {
		return status, fmt.Errorf("remove zone %s: %w", name, err)
	}
	return status, nil
}

// Zones returns the agent's zones, by name.
func (c *Client) Zones(ctx context.Context) (vmm.ZoneList, error) {
	return ask[vmm.ZoneList](ctx, c, http.MethodGet, "/v1/zones")
}

// RemoveZone begins to remove a zone that belongs to no VMM. See IsNoZone.
func (c *Client) RemoveZone(ctx context.Context, name string) (vmm.ZoneStatus, error) {
	return ask[vmm.ZoneStatus](ctx, c, http.MethodDelete, "/v1/zones/"+url.PathEscape(name))
}
