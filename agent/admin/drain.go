package admin

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

func (s *Server) drain(c echo.Context) (now disposition.Status, err error) {
	var grace *time.Duration
	if text := c.QueryParam("grace"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return now, badRequest("grace=%q: want a duration of 0 or more, such as 2m", text)
		}
		grace = &d
	}
	ctx, cancel := detached(c)
	defer cancel()
	return s.agent.BeginDrain(ctx, caller.Of(ctx, vmm.ByOperator), grace), nil
}

func (s *Server) undrain(c echo.Context) (disposition.Status, error) {
	ctx, cancel := detached(c)
	defer cancel()
	return s.agent.EndDrain(ctx, caller.Of(ctx, vmm.ByOperator))
}

// detached returns a context for work that is carried out even if the client disconnects.
func detached(c echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.Request().Context()), killBudget)
}
