package admin

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/internal/conns"
)

const (
	// headerTimeout bounds reading a request's headers.
	headerTimeout = 5 * time.Second
	// idleTimeout is how long an unused connection is kept.
	idleTimeout = time.Minute
	// answerTimeout bounds a whole answer, from the end of the headers. It exceeds
	// killBudget, so that a kill that timed out can be answered.
	answerTimeout = killBudget + 15*time.Second
	// killBudget bounds the operator's kill, which takes long only if the ledger's disk
	// does.
	killBudget = 30 * time.Second
	// maxHeader and maxBody bound what is read of a request, in bytes. No route uses
	// its body, except those of the sled API, which has its own bound.
	maxHeader = 16 << 10
	maxBody   = 16 << 10
	// defaultConns is the number of connections per listener. It bounds descriptors and
	// goroutines: sledctl holds one connection while a command runs, and an idle one is
	// closed when another client connects.
	defaultConns = 64
)

// Options configure a Server.
type Options struct {
	// Log receives panics and refused connections.
	Log zerolog.Logger
	// Conns is the number of connections per listener; 64 if it is 0.
	Conns int
	// Collectors are further metrics to serve, such as those of publishing.
	Collectors []prometheus.Collector
	// PropolisVersion is the API version that Propolis servers are asked with for consoles.
	PropolisVersion string
	// Sled is the sled API, which is also served here, to callers that are known; nil
	// means that it is not.
	Sled http.Handler
	// Process is the agent's process; nil means that nothing of it is served.
	Process Process
	// ServeMetrics serves the listener for metrics, with TLS or users; nil means with
	// neither. See conns.Options.Serve.
	ServeMetrics func(*http.Server, net.Listener) error
	// Groups returns the groups whose members may use the socket, besides root and the
	// agent's own user; nil means none.
	Groups func() []int
}

// A Server serves the admin API and the metrics. Its methods are safe for
// concurrent use.
type Server struct {
	agent        Agent
	log          zerolog.Logger
	api, metrics *conns.Server
	propolis     string
	// streams has one slot per open event stream, consoles one per console.
	streams, consoles chan struct{}
	// process is nil if nothing of it is served. listing has a token while goroutines are
	// listed.
	process Process
	listing chan struct{}
	// ended is closed when Shutdown begins, which ends the streams; they would never
	// become idle.
	ended chan struct{}
	once  sync.Once
}

// New returns a Server for an agent. It serves once Serve is called.
func New(agent Agent, options Options) *Server {
	s := &Server{agent: agent, log: options.Log, propolis: options.PropolisVersion, process: options.Process, listing: make(chan struct{}, 1),
		streams: make(chan struct{}, maxStreams), consoles: make(chan struct{}, maxConsoles), ended: make(chan struct{})}
	metrics := echo.WrapHandler(metricsHandler(agent, options))
	serve := func(name string, by func(*http.Server, net.Listener) error, route func(*echo.Echo)) *conns.Server {
		e := conns.NewRouter(s.answerError)
		e.Use(conns.Recover(s.log), swallowBody)
		e.GET("/metrics", metrics)
		route(e)
		return conns.NewServer(e, conns.Options{Name: name, Serve: by, Log: s.log, Max: cmp.Or(options.Conns, defaultConns),
			ReadHeader: headerTimeout, Write: answerTimeout, Idle: idleTimeout, MaxHeader: maxHeader})
	}
	s.metrics = serve("metrics", options.ServeMetrics, s.routeMetrics)
	s.api = serve("admin API", nil, func(e *echo.Echo) {
		e.Use(admit(options.Groups, options.Log))
		if options.Sled != nil {
			e.Match([]string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete}, sledPath+"/*", serveSled(options.Sled))
		}
		e.GET("/v1/agent", conns.JSON(func(echo.Context) (About, error) { return agent.About(), nil }))
		e.GET("/v1/vmms", conns.JSON(s.list))
		e.GET("/v1/vmms/:id", conns.JSON(s.show))
		e.POST("/v1/vmms/:id/kill", conns.JSON(s.kill))
		e.GET("/v1/vmms/:id/serial", s.serial("/instance/serial", 0))
		e.GET("/v1/vmms/:id/serial/history", s.serial("/instance/serial/history", historyBudget))
		e.GET("/v1/drain", conns.JSON(func(echo.Context) (disposition.Status, error) { return agent.Disposition(), nil }))
		e.PUT("/v1/drain", conns.JSON(s.drain))
		e.DELETE("/v1/drain", conns.JSON(s.undrain))
		s.routeZones(e)
		e.GET("/v1/events", s.events)
		s.routeProcess(e)
		e.GET("/v1/openapi.json", serveDocument)
	})
	return s
}

// Serve serves the whole API on l, and closes l at the end. It returns nil after
// Shutdown. Every client of l can kill VMs: l must come from Listen.
func (s *Server) Serve(l net.Listener) error { return s.api.Serve(l) }

// ServeMetrics serves only /metrics, /healthz and a page that names them on l, otherwise like
// Serve.
func (s *Server) ServeMetrics(l net.Listener) error { return s.metrics.Serve(l) }

// Shutdown ends the streams, closes the listeners and waits for requests in progress.
// When ctx ends first, their connections are closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(func() { close(s.ended) })
	return errors.Join(s.api.Shutdown(ctx), s.metrics.Shutdown(ctx))
}

// swallowBody reads a request's body, which no route uses, before the route. Otherwise
// net/http would read the rest after the answer, for as long as the client sends.
func swallowBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if strings.HasPrefix(r.URL.Path, sledPath+"/") {
			return next(c) // it reads bodies itself
		}
		defer conns.Answered(r.Context())
		if r.ContentLength == 0 {
			conns.Received(r.Context())
			return next(c)
		}
		conn := http.NewResponseController(c.Response())
		// net/http removes this deadline at the end of the body.
		_ = conn.SetReadDeadline(time.Now().Add(headerTimeout))
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(c.Response(), r.Body, maxBody)); err != nil {
			return err
		}
		conns.Received(r.Context())
		return next(c)
	}
}
