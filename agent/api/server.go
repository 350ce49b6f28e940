package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/conns"
)

// Options are a Server's settings.
type Options struct {
	Log zerolog.Logger
	// Conns is the number of open connections: 1,024 if it is 0. A new one replaces an
	// idle one when all are in use.
	Conns int
	// Bundles has the zone bundles; without it their paths are answered 503.
	Bundles Bundles
	// Zoneadm lists the host's zones for support.
	Zoneadm func(context.Context) ZoneadmInfo
	// TLS, if it is set, demands a certificate of each client. Then Clients are the roles
	// of clients by a name of their certificates: the common name, or a DNS name or URI of
	// the subject alternative names. Others are refused.
	TLS     *tls.Config
	Clients map[string]Role
}

const (
	// Budgets of the Agent's work for one request. Nexus waits for 60 seconds. An
	// unregister has the 30 of a removal and a margin.
	unregisterBudget = 35 * time.Second
	stopBudget       = 9 * time.Second
	callBudget       = 20 * time.Second
	// Time limits for reading a request's header, for reading a request, and between
	// two requests.
	headerTimeout = 10 * time.Second
	readTimeout   = 20 * time.Second
	idleTimeout   = 2 * time.Minute
	// writeTimeout counts from the end of the header. It includes reading the body, the
	// longest work, and sending the answer to a slow client.
	writeTimeout = readTimeout + unregisterBudget + 10*time.Second
	// maxHeader bounds a request's header, in bytes.
	maxHeader    = 32 << 10
	defaultConns = 1024
	// servedLines and refusedLines are the limits of logged requests per second. All
	// VMMs of a sled may be stopped at once.
	servedLines  = 2000
	refusedLines = 20
)

// A Server serves the API. Its methods are safe for concurrent use.
type Server struct {
	*conns.Server
	agent  Agent
	bodies *bodies
	// clients are the roles by name; used with TLS only.
	clients map[string]Role
	// served and refused log requests, each with a limit, since clients determine the
	// number of lines.
	served, refused zerolog.Logger
	meter           *requestMeter
	// calls has one token for each call in progress that begin has admitted.
	calls chan struct{}
	// parsing has one token for each large body that is being parsed.
	parsing chan struct{}

	stored Bundles
	// reading has one token for each bundle that is being read, sending one for each
	// large answer, asking one for each question of support to the host.
	reading, sending, asking chan struct{}
	zoneadm                  func(context.Context) ZoneadmInfo
	vpcs                     *vpcs
}

// New returns a server for an agent. It serves once Serve is called.
func New(a Agent, o Options) *Server {
	limit := cmp.Or(o.Conns, defaultConns)
	s := &Server{
		agent: a, bodies: newBodies(bodyMemory), meter: newRequestMeter(),
		served:  o.Log.Sample(&zerolog.BurstSampler{Burst: servedLines, Period: time.Second}),
		refused: o.Log.Sample(&zerolog.BurstSampler{Burst: refusedLines, Period: time.Second}),
		calls:   make(chan struct{}, max(1, limit*3/4)),
		parsing: make(chan struct{}, runtime.GOMAXPROCS(0)),
		stored:  o.Bundles, reading: make(chan struct{}, downloads), sending: make(chan struct{}, largeAnswers),
		zoneadm: o.Zoneadm, asking: make(chan struct{}, 1), vpcs: newVPCs(),
	}
	router := conns.NewRouter(answerError)
	router.Pre(s.observe, conns.Recover(o.Log), prepare)
	router.GET(documentPath, func(c echo.Context) error { return c.JSONBlob(http.StatusOK, wire.Document()) })
	if o.TLS != nil {
		s.clients = o.Clients
		router.Use(s.authorize)
	}
	s.route(router)
	s.meter.know(router)
	s.Server = conns.NewServer(router, conns.Options{Name: "sled API", Log: o.Log, Max: limit,
		TLS:        o.TLS,
		ReadHeader: headerTimeout, Read: readTimeout, Write: writeTimeout, Idle: idleTimeout, MaxHeader: maxHeader})
	return s
}

// observe assigns a request its id, and logs it after the answer.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, began := c.Request(), time.Now()
		c.Response().Header().Set(echo.HeaderXRequestID, uuid.NewString())
		if caller.Of(r.Context(), "") == "" && r.UserAgent() == userAgent {
			r = r.WithContext(caller.With(r.Context(), vmm.ByOperator)) // for display; it permits nothing
			c.SetRequest(r)
		}
		defer conns.Answered(r.Context())
		if r.ContentLength == 0 || r.Method == http.MethodGet || r.Method == http.MethodDelete {
			conns.Received(r.Context()) // for others decode reads the body
		}
		err := next(c)
		if err != nil {
			err = problemOf(err)
			c.Error(err)
		}
		s.meter.note(c, began)
		s.note(c, began, err)
		return nil
	}
}

// note logs a request: changes at info, reads at debug, server errors at warn. cause
// is why it failed, which the answer may not contain.
func (s *Server) note(c echo.Context, began time.Time, cause error) {
	r, status := c.Request(), c.Response().Status
	log, level := s.served, zerolog.InfoLevel
	_, isDenied := errors.AsType[*denied](cause)
	switch {
	case status >= http.StatusInternalServerError, isDenied:
		level = zerolog.WarnLevel
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		level = zerolog.DebugLevel
	}
	if status >= 400 && status <= 499 {
		log = s.refused
	}
	entry := log.WithLevel(level)
	if who := clientOf(c); who != "" {
		entry = entry.Str("client", who)
	}
	if by := caller.Of(r.Context(), ""); by != "" {
		entry = entry.Str("by", string(by))
	}
	entry.Err(cause).Str("request_id", requestID(c)).Str("remote", r.RemoteAddr).
		Str("method", r.Method).Str("uri", cut(r.RequestURI)).Int("status", status).Dur("took_ms", time.Since(began)).
		Msg("request")
}

func requestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// documentPath is where the API's OpenAPI document is served, without a version.
const documentPath = "/openapi.json"

// prepare reads a request's version, converts its path to canonical form, and answers
// 404 if the version does not have the path yet.
func prepare(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.URL.Path == documentPath {
			return next(c)
		}
		version, err := readVersion(r.Header)
		if err != nil {
			return err
		}
		if err := canonical(r.URL); err != nil {
			return err
		}
		if version != wire.Newest && !wire.Serves(version, strings.Split(r.URL.Path, "/")[1:]) {
			return &problem{status: http.StatusNotFound}
		}
		return next(c)
	}
}

var errManyCalls = errors.New("too many calls are under way; try again")

// begin admits a call that may be refused under load, and returns its context. Stops,
// unregisters and reads of a state do not use it: some connections are always left for
// them, whatever the admitted calls wait for.
func (s *Server) begin(c echo.Context) (ctx context.Context, end func(), err error) {
	select {
	case s.calls <- struct{}{}:
		ctx, cancel := detached(c, callBudget)
		return ctx, func() { cancel(); <-s.calls }, nil
	default:
		return nil, nil, unavailable(errManyCalls)
	}
}

// detached returns a context for work that continues if the client disconnects.
func detached(c echo.Context, budget time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.Request().Context()), budget)
}
