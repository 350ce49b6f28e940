package api

import (
	"context"
	"errors"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"
)

// Options are a Server's settings. A duration of 0 stands for its default.
type Options struct {
	Log zerolog.Logger
	// Budgets of the Agent's work for one request. Nexus waits for 60 seconds.
	Unregister time.Duration // of an unregister: 35s, a removal's 30s and a little
	Stop       time.Duration // of a stop: 9s
	Call       time.Duration // of everything else: 20s
	// Limits to what a client may do to a connection.
	ReadHeader time.Duration // to send a request's header: 10s
	Read       time.Duration // to send a whole request: 20s
	Idle       time.Duration // between two requests: 2m
}

// maxHeader bounds a request's header, in bytes.
const maxHeader = 32 << 10

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		option *time.Duration
		value  time.Duration
	}{
		{&o.Unregister, 35 * time.Second}, {&o.Stop, 9 * time.Second}, {&o.Call, 20 * time.Second},
		{&o.ReadHeader, 10 * time.Second}, {&o.Read, 20 * time.Second}, {&o.Idle, 2 * time.Minute},
	} {
		if *d.option == 0 {
			*d.option = d.value
		}
	}
	return o
}

// A Server serves the API. Its methods are safe for concurrent use.
type Server struct {
	agent Agent
	o     Options
	echo  *echo.Echo
	http  *http.Server
	// large holds one token for each large body in memory.
	large chan struct{}
}

// New makes a server for an agent. It serves once Serve is called.
func New(a Agent, o Options) *Server {
	s := &Server{agent: a, o: o.withDefaults(), echo: echo.New(), large: make(chan struct{}, largeBodies)}
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) {
		c.Response().Writer.(*exchange).fail(err)
	}
	s.route()
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.o.ReadHeader,
		ReadTimeout:       s.o.Read,
		IdleTimeout:       s.o.Idle,
		// Counted from the end of the header, so it has room for reading the
		// body, for the longest work, and for a client that is slow to take an
		// answer.
		WriteTimeout:                 s.o.Read + max(s.o.Unregister, s.o.Stop, s.o.Call) + 10*time.Second,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     stdlog.New(s.o.Log.With().Str("from", "http").Logger(), "", 0),
	}
	return s
}

// Handler returns the API without its connections.
func (s *Server) Handler() http.Handler { return s }

// Serve accepts connections until Shutdown, and returns nil then. The listener
// is closed when it returns.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting, lets the requests that are under way finish until
// ctx ends, and then closes what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, id: uuid.NewString(), began: time.Now()}
	w.Header().Set("X-Request-Id", x.id)
	defer s.finish(x, r)
	if err := checkVersion(r.Header); err != nil {
		x.fail(err)
		return
	}
	routed, err := canonical(r)
	if err != nil {
		x.fail(err)
		return
	}
	s.echo.ServeHTTP(x, routed)
}

// detached returns a context for work that goes on when the client is gone.
func detached(r *http.Request, budget time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), budget)
}
