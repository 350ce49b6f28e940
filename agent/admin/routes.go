package admin

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
)

func (s *Server) about(c echo.Context) error {
	return c.JSON(http.StatusOK, s.agent.About())
}

func (s *Server) list(c echo.Context) error {
	unhealthy, err := boolParam(c, "unhealthy", false)
	if err != nil {
		return err
	}
	all := s.sorted()
	if unhealthy {
		now := time.Now()
		all = slices.DeleteFunc(all, func(st vmm.Status) bool { return len(Troubles(st, now)) == 0 })
	}
	return c.JSON(http.StatusOK, all)
}

// sorted is every VMM by id. It is never nil: an empty list is [] in JSON.
func (s *Server) sorted() []vmm.Status {
	all := append([]vmm.Status{}, s.agent.List()...)
	slices.SortFunc(all, func(a, b vmm.Status) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all
}

func (s *Server) show(c echo.Context) error {
	id, err := idParam(c)
	if err != nil {
		return err
	}
	status, err := s.agent.Show(id)
	if err != nil {
		return fmt.Errorf("show VMM %s: %w", id, err)
	}
	return c.JSON(http.StatusOK, status)
}

// kill is carried out even if the client leaves: an operator's interrupt after
// the request was sent must not leave it half decided.
func (s *Server) kill(c echo.Context) error {
	id, err := idParam(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), killBudget)
	defer cancel()
	status, err := s.agent.Kill(ctx, id)
	if err != nil {
		return fmt.Errorf("kill VMM %s: %w", id, err)
	}
	s.log.Info().Stringer("vmm", id).Msg("the operator killed a VMM")
	return c.JSON(http.StatusOK, status)
}

func idParam(c echo.Context) (uuid.UUID, error) { return parseID(c.Param("id")) }

// parseID takes the one form that this API uses for ids; the other forms that
// uuid.Parse takes would make two names for one VMM.
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
