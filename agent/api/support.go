package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/internal/conns"
)

// ZoneadmInfo is what the host reports of its zones, in text for people
// (SledDiagnosticsQueryOutput on the wire). One of its members is set.
type ZoneadmInfo struct {
	Success *CommandOutput `json:"success,omitempty"`
	Failure *CommandError  `json:"failure,omitempty"`
}

// CommandOutput is what a command has printed, whatever its exit code.
type CommandOutput struct {
	Command string `json:"command"`
	// Stdio is what it printed on standard output and standard error.
	Stdio      string `json:"stdio"`
	ExitStatus string `json:"exit_status"`
	// ExitCode is nil if it did not exit by itself.
	ExitCode *int `json:"exit_code"`
}

// CommandError is why a command did not run to its end.
type CommandError struct {
	Error string `json:"error"`
}

// zoneadmBudget bounds the question to the host, as in the reference.
const zoneadmBudget = 10 * time.Second

// routeSupport adds the paths for those who support a sled.
func (s *Server) routeSupport(router *echo.Echo) {
	add(router, "/support/zoneadm-info", methods{http.MethodGet: conns.JSON(s.zoneadmInfo)})
}

// zoneadmInfo always answers 200. One question is asked at a time: a host whose commands
// hang needs no more of them.
func (s *Server) zoneadmInfo(c echo.Context) (ZoneadmInfo, error) {
	if s.zoneadm == nil {
		return failed("there is no zoneadm"), nil
	}
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	default:
		return failed("another request for it is under way"), nil
	}
	ctx, cancel := detached(c, zoneadmBudget)
	defer cancel()
	return s.zoneadm(ctx), nil
}

func failed(why string) ZoneadmInfo { return ZoneadmInfo{Failure: &CommandError{why}} }
