package admin

import (
	"context"
	"errors"
	stdlog "log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

const (
	// headerTimeout bounds how long a client may take over its headers.
	headerTimeout = 5 * time.Second
	// idleTimeout is how long an unused connection is kept.
	idleTimeout = time.Minute
	// answerTimeout bounds a whole answer, from the headers' end; it is more
	// than killBudget, so that a kill that timed out can still say so.
	answerTimeout = killBudget + 15*time.Second
	// killBudget bounds the operator's kill. It is decided in memory and on the
	// ledger's disk, so it takes long only if that disk does.
	killBudget = 30 * time.Second
	// maxHeader and maxBody bound what is read of a request, in bytes. No
	// request has a body that matters.
	maxHeader = 16 << 10
	maxBody   = 16 << 10
)

// Options are what a Server may have beside its Agent.
type Options struct {
	// Log is where panics and refused connections are told.
	Log zerolog.Logger
	// Collectors are further metrics to serve, such as the publisher's.
	Collectors []prometheus.Collector
}

// A Server serves the admin API and the metrics. Its methods are safe for
// concurrent use.
type Server struct {
	agent   Agent
	log     zerolog.Logger
	api     *http.Server
	metrics *http.Server
	// streams has one slot for each event stream that may be open.
	streams chan struct{}
	// ended is closed when Shutdown begins, for the streams, which would
	// otherwise never become idle.
	ended chan struct{}
	once  sync.Once
}

// New returns a Server for an agent. It serves nothing yet.
func New(agent Agent, options Options) *Server {
	s := &Server{
		agent:   agent,
		log:     options.Log,
		streams: make(chan struct{}, maxStreams),
		ended:   make(chan struct{}),
	}
	metrics := metricsHandler(agent, options)
	api := s.echo()
	api.GET("/v1/agent", s.about)
	api.GET("/v1/vmms", s.list)
	api.GET("/v1/vmms/:id", s.show)
	api.POST("/v1/vmms/:id/kill", s.kill)
	api.GET("/v1/events", s.events)
	api.GET("/metrics", echo.WrapHandler(metrics))
	s.api = s.server(api)
	onlyMetrics := s.echo()
	onlyMetrics.GET("/metrics", echo.WrapHandler(metrics))
	s.metrics = s.server(onlyMetrics)
	return s
}

// Serve serves the whole API on l and closes it in the end. It returns nil
// after Shutdown. Whoever can reach l may kill VMs: l is what Listen returned.
func (s *Server) Serve(l net.Listener) error { return serve(s.api, l) }

// ServeMetrics serves /metrics on l and nothing else, as Serve does.
func (s *Server) ServeMetrics(l net.Listener) error { return serve(s.metrics, l) }

func serve(srv *http.Server, l net.Listener) error {
	if err := srv.Serve(limit(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown ends the streams, closes the listeners and waits for the requests
// that are under way. When ctx ends first, their connections are cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(func() { close(s.ended) })
	return errors.Join(shutdown(ctx, s.api), shutdown(ctx, s.metrics))
}

func shutdown(ctx context.Context, srv *http.Server) error {
	err := srv.Shutdown(ctx)
	if err != nil {
		_ = srv.Close()
	}
	return err
}

func (s *Server) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(s.log, "", 0),
	}
}

func (s *Server) echo() *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.answerError
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableStackAll: true,
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			s.log.Error().Err(err).Str("request", c.Request().Method+" "+c.Request().URL.Path).
				Bytes("stack", stack).Msg("a request to the admin API panicked")
			return err
		},
	}))
	e.Use(swallowBody)
	return e
}

// swallowBody reads a request's body, which means nothing to any route, within
// bounds and before the route: what is left over would otherwise be read after
// the answer, for as long as the client likes.
func swallowBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength == 0 {
			return next(c)
		}
		conn := http.NewResponseController(c.Response())
		// net/http lifts this deadline when it sees the body's end.
		_ = conn.SetReadDeadline(time.Now().Add(headerTimeout))
		if err := discard(http.MaxBytesReader(c.Response(), r.Body, maxBody)); err != nil {
			return err
		}
		return next(c)
	}
}
