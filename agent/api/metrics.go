package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// otherOperation is the label of requests without a route.
const otherOperation = "other"

// A requestMeter counts requests by operation and status, and times them. Both labels are
// bounded: operations are the routes, and statuses the server's own.
type requestMeter struct {
	total *prometheus.CounterVec
	took  *prometheus.HistogramVec
	// operations are the labels of routes by method and path.
	operations map[string]string
}

func newRequestMeter() *requestMeter {
	return &requestMeter{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sled_agent_http_requests_total",
			Help: "Requests of the sled API, by operation and status."}, []string{"operation", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sled_agent_http_request_duration_seconds",
			Help:    "Time to answer a request of the sled API, by operation.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"operation"}),
	}
}

// know makes the router's routes the operations. Their parameters are named as in the document.
func (m *requestMeter) know(router *echo.Echo) {
	m.operations = map[string]string{}
	for _, r := range router.Routes() {
		if r.Method == echo.RouteNotFound {
			continue
		}
		parts := strings.Split(r.Path, "/")
		for i, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		m.operations[r.Method+" "+r.Path] = r.Method + " " + strings.Join(parts, "/")
	}
}

// note records a request that was answered.
func (m *requestMeter) note(c echo.Context, begun time.Time) {
	operation, ok := m.operations[c.Request().Method+" "+c.Path()]
	if !ok {
		operation = otherOperation
	}
	status := c.Response().Status
	if http.StatusText(status) == "" {
		status = http.StatusInternalServerError
	}
	m.total.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(operation).Observe(time.Since(begun).Seconds())
}

// Collectors returns the metrics of the requests.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.meter.total, s.meter.took}
}
