package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// configure keeps Nexus's sled configuration. Of its contents only the generation and the
// update disposition are used: this agent manages no zones, disks or datasets of the
// control plane.
func (s *Server) configure(c echo.Context) error {
	config, err := decode(s, c, func(body []byte) (disposition.Config, error) { return wire.DecodeConfig(versionOf(c), body) })
	if err != nil {
		return err
	}
	config.Received = time.Now().UTC()
	ctx, end, err := s.begin(c)
	if err != nil {
		return err
	}
	defer end()
	err = s.agent.Configure(ctx, config)
	if stale, ok := errors.AsType[*disposition.StaleError](err); ok {
		return badRequest("%v", stale)
	}
	if err != nil {
		return &problem{status: http.StatusServiceUnavailable, message: "sled configuration cannot be written: " + err.Error(), cause: err}
	}
	return c.NoContent(http.StatusNoContent)
}

// registrationError returns the error of a registration. It has a code of its own while
// the agent is loading: Nexus then tries another sled.
func registrationError(err error) error {
	if vmm.Refused(err, vmm.Loading) {
		return &problem{status: http.StatusServiceUnavailable, code: codeNotYetLoaded, cause: err}
	}
	return err
}
