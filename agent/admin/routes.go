package admin

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
)

func (s *Server) list(c echo.Context) ([]vmm.Status, error) {
	unhealthy, err := boolParam(c, "unhealthy", false)
	if err != nil {
		return nil, err
	}
	ended, err := boolParam(c, "ended", false)
	if err != nil {
		return nil, err
	}
	all := []vmm.Status{} // not nil: an empty list is [] in JSON
	if ended {
		all = append(all, s.agent.Ended()...)
	} else {
		all = append(all, s.agent.List()...)
		slices.SortFunc(all, func(a, b vmm.Status) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	}
	if unhealthy {
		now := time.Now()
		all = slices.DeleteFunc(all, func(st vmm.Status) bool { return len(Troubles(st, now)) == 0 })
	}
	return all, nil
}

func (s *Server) show(c echo.Context) (status vmm.Status, err error) {
	id, err := parseID(c.Param("id"))
	if err != nil {
		return status, err
	}
	if status, err = s.agent.Show(id); err != nil {
		return status, fmt.Errorf("show VMM %s: %w", id, err)
	}
	return status, nil
}

// kill is carried out even if the client disconnects: an interrupt after the request was
// sent must not leave it incomplete.
func (s *Server) kill(c echo.Context) (status vmm.Status, err error) {
	id, err := parseID(c.Param("id"))
	if err != nil {
		return status, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), killBudget)
	defer cancel()
	if status, err = s.agent.Kill(ctx, id); err != nil {
		return status, fmt.Errorf("kill VMM %s: %w", id, err)
	}
	s.log.Info().Stringer("vmm", id).Str("by", string(caller.Of(ctx, vmm.ByOperator))).Msg("the operator killed a VMM")
	return status, nil
}

// parseID accepts only the hyphenated form, so that each VMM has one path; uuid.Parse
// accepts others.
func parseID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(uuid.Nil.String()) {
		return uuid.Nil, badRequest("%q is not a VMM's full id", text)
	}
	return id, nil
}

func boolParam(c echo.Context, name string, otherwise bool) (bool, error) {
	text := c.QueryParam(name)
	if text == "" {
		return otherwise, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, badRequest("%s=%q: want true or false", name, text)
	}
	return value, nil
}
