package conns

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/rs/zerolog"
)

// Options are a Server's settings.
type Options struct {
	// Name is the listener's name in the log.
	Name string
	Log  zerolog.Logger
	// Max bounds the open connections; one more may wait.
	Max int
	// ReadHeader bounds the time for a request's header, Read for the whole request,
	// Write for its answer, from the end of the header, and Idle between two requests.
	ReadHeader, Read, Write, Idle time.Duration
	// TLS, if it is set, is spoken on every connection. A handshake takes at most
	// ReadHeader; until it is done the connection counts as idle.
	TLS *tls.Config
	// Serve, if it is set, serves instead of http.Server's own method of that name, and may
	// change the server before.
	Serve func(*http.Server, net.Listener) error
	// MaxHeader bounds a request's header, in bytes.
	MaxHeader int
}

// A Server serves HTTP on a bounded number of connections. Its methods are safe for
// concurrent use.
type Server struct {
	o       Options
	handler http.Handler

	mu     sync.Mutex
	http   *http.Server
	closed bool
}

// NewServer returns a Server for a handler, which must call Received and Answered.
func NewServer(handler http.Handler, o Options) *Server {
	s := &Server{o: o, handler: handler}
	s.http = s.server()
	return s
}

func (s *Server) server() *http.Server {
	server := &http.Server{
		Handler:                      s.handler,
		ReadHeaderTimeout:            s.o.ReadHeader,
		ReadTimeout:                  s.o.Read,
		WriteTimeout:                 s.o.Write,
		IdleTimeout:                  s.o.Idle,
		MaxHeaderBytes:               s.o.MaxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     ErrorLog(s.o.Log, s.o.Name),
	}
	track(server)
	return server
}

// Handler returns the handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve accepts connections until Shutdown, and returns nil then. The listener is
// closed when it returns.
func (s *Server) Serve(l net.Listener) error {
	l = limit(l, s.o)
	defer l.Close()
	if s.o.TLS != nil {
		l = tls.NewListener(l, s.o.TLS)
	}
	if err := s.serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) serve(l net.Listener) error {
	if s.o.Serve == nil {
		return s.http.Serve(l)
	}
	server := s.server() // one that was changed is not changed again
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.http = server
	s.mu.Unlock()
	return s.o.Serve(server, l)
}

// Shutdown stops accepting, waits for running requests until ctx ends, and then closes
// the remaining connections.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	server := s.http
	s.mu.Unlock()
	err := server.Shutdown(ctx)
	if err != nil {
		_ = server.Close()
	}
	return err
}

// NewRouter returns a router that answers errors with fail, unless an answer was begun.
func NewRouter(fail func(c echo.Context, err error)) *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard) // standard output otherwise
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if !c.Response().Committed {
			fail(c, err)
		}
	}
	return e
}

// Recover turns a handler's panic into an error and logs it with its stack.
func Recover(log zerolog.Logger) echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableStackAll: true,
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			log.Error().Str("panic", err.Error()).Str("request", c.Request().Method+" "+c.Request().URL.Path).
				Str("request_id", c.Response().Header().Get(echo.HeaderXRequestID)).Bytes("stack", stack).Msg("handler panicked")
			return err
		},
	})
}

// JSON returns a handler that answers with the result of answer as JSON.
func JSON[T any](answer func(echo.Context) (T, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, err := answer(c)
		if err != nil {
			return err
		}
		body, err := json.Marshal(v) // c.JSON would parse the query first
		if err != nil {
			return err
		}
		return c.JSONBlob(http.StatusOK, append(body, '\n'))
	}
}
