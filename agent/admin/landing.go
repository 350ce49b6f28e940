package admin

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// landing is for people who open the address of the metrics.
const landing = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>sled-agent</title></head>
<body>
<h1>sled-agent</h1>
<ul>
<li><a href="/metrics">Metrics</a></li>
<li><a href="/healthz">Health</a></li>
</ul>
</body>
</html>
`

// routeMetrics adds what the listener for metrics serves besides them. It is open to the
// network and says nothing of VMMs.
func (s *Server) routeMetrics(e *echo.Echo) {
	e.GET("/", func(c echo.Context) error { return c.HTML(http.StatusOK, landing) })
	if s.process != nil {
		e.GET("/healthz", s.healthz)
	}
}

// healthz answers load balancers and probes: 200, or 503 with what is wrong.
func (s *Server) healthz(c echo.Context) error {
	h := s.process.Health()
	if h.OK {
		return c.String(http.StatusOK, "ok\n")
	}
	var wrong strings.Builder
	for _, check := range h.Checks {
		if !check.OK {
			fmt.Fprintf(&wrong, "%s: %s\n", check.Name, check.Error)
		}
	}
	return c.String(http.StatusServiceUnavailable, wrong.String())
}
