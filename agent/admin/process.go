package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/pprof"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/conns"
)

const (
	// maxGoroutines bounds the list of goroutines, in bytes. Equal ones are one entry, so
	// that it grows with the code and not with the number of VMMs.
	maxGoroutines = 4 << 20
	// defaultLevelFor is how long a log level lasts that was set without a duration,
	// maxLevelFor the longest.
	defaultLevelFor = 10 * time.Minute
	maxLevelFor     = 24 * time.Hour
)

// A Process provides what the Server serves of the agent's process. Its methods are safe
// for concurrent use and answer from memory.
type Process interface {
	// Health reports whether the agent can keep its deadlines, Ready whether it serves.
	Health() Health
	Ready() Health
	// Config returns the configuration in force, without secrets.
	Config() Config
	// LogLevel returns the log's level. SetLogLevel sets it for a while; no level ends
	// that.
	LogLevel() LogLevel
	SetLogLevel(by vmm.Who, level string, d time.Duration) (LogLevel, error)
	// Reload reads the configuration again and applies what it can. With an error nothing
	// has changed. It takes as long as the disk does.
	Reload(by vmm.Who) (Reloaded, error)
}

// Reloaded is the outcome of a reload, by the names of keys.
type Reloaded struct {
	// Applied are those that have changed, Restart those that differ in the file and need a
	// restart of the agent.
	Applied []string `json:"applied"`
	Restart []string `json:"needs_restart"`
}

// Health is the result of checks.
type Health struct {
	// OK is true if all checks are.
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// A Check is one of them. Error says what is wrong, if something is.
type Check struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Checked adds a check, which is OK if err is nil.
func (h Health) Checked(name string, err error) Health {
	c := Check{Name: name, OK: err == nil}
	if err != nil {
		c.Error = err.Error()
	}
	return Health{OK: c.OK && (h.OK || len(h.Checks) == 0), Checks: append(h.Checks, c)}
}

// Config is a configuration in force.
type Config struct {
	// File is where it was read from.
	File string `json:"file"`
	// Values are the values of all keys, by their dotted names.
	Values map[string]any `json:"values"`
}

// LogLevel is the level of the log.
type LogLevel struct {
	Level string `json:"level"`
	// Configured is the level to which it falls back at Until, which is absent unless the
	// level was set.
	Configured string     `json:"configured"`
	Until      *time.Time `json:"until,omitempty"`
	By         string     `json:"by,omitempty"`
}

// answerHealth answers with the result of checks, 503 if one of them fails.
func answerHealth(health func() Health) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := health()
		status := http.StatusOK
		if !h.OK {
			status = http.StatusServiceUnavailable
		}
		return c.JSON(status, h)
	}
}

func (s *Server) setLogLevel(c echo.Context) (now LogLevel, err error) {
	d := defaultLevelFor
	if text := c.QueryParam("for"); text != "" {
		if d, err = time.ParseDuration(text); err != nil || d <= 0 || d > maxLevelFor {
			return now, badRequest("for=%q: want a duration of more than 0 and at most %s, such as 10m", text, maxLevelFor)
		}
	}
	level := c.QueryParam("level")
	if level == "" {
		return now, badRequest("level: want trace, debug, info, warn or error")
	}
	now, err = s.process.SetLogLevel(caller.Of(c.Request().Context(), vmm.ByOperator), level, d)
	if err != nil {
		return now, badRequest("level=%q: %v", level, err)
	}
	return now, nil
}

func (s *Server) resetLogLevel(c echo.Context) (LogLevel, error) {
	return s.process.SetLogLevel(caller.Of(c.Request().Context(), vmm.ByOperator), "", 0)
}

func (s *Server) reload(c echo.Context) (Reloaded, error) {
	done, err := s.process.Reload(caller.Of(c.Request().Context(), vmm.ByOperator))
	if err != nil {
		return done, &Error{Status: http.StatusConflict, Message: err.Error()}
	}
	return done, nil
}

// goroutines lists what the process's goroutines do. The runtime stops them for a moment,
// so that one list is made at a time.
func (s *Server) goroutines(c echo.Context) error {
	select {
	case s.listing <- struct{}{}:
		defer func() { <-s.listing }()
	default:
		return &Error{Status: http.StatusServiceUnavailable, Message: "the goroutines are being listed for another client"}
	}
	list := &limited{most: maxGoroutines}
	if err := pprof.Lookup("goroutine").WriteTo(list, 1); err != nil && !errors.Is(err, errFull) {
		return err
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", list.Bytes())
}

var errFull = errors.New("buffer is full")

// A limited is a buffer that takes no more than most bytes.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.most - l.Len(); len(p) > room {
		n, _ := l.Buffer.Write(p[:room])
		return n, errFull
	}
	return l.Buffer.Write(p)
}

// Ready asks whether the agent serves. It returns the result of checks, also of those that fail.
func (c *Client) Ready(ctx context.Context) (h Health, err error) {
	const path = "/v1/ready"
	status, body, err := c.Get(ctx, path, maxAnswer)
	switch {
	case err != nil:
		return h, err
	case status != http.StatusOK && status != http.StatusServiceUnavailable:
		return h, fmt.Errorf("ask %s of the agent on %s: it answered %d", path, c.socket, status)
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, fmt.Errorf("read answer to %s from %s: %w", path, c.socket, err)
	}
	return h, nil
}

// Get returns the status and the body of an answer, whatever they are. What was read before
// an error, or before the limit of most bytes, is returned with the error.
func (c *Client) Get(ctx context.Context, path string, most int64) (status int, body []byte, err error) {
	res, err := c.send(ctx, http.MethodGet, path)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		err = fmt.Errorf("read answer to %s from %s: %w", path, c.socket, err)
	case int64(len(body)) > most:
		body, err = body[:most], fmt.Errorf("the answer to %s from %s is longer than %d bytes", path, c.socket, most)
	}
	return res.StatusCode, body, err
}

// Config returns the configuration in force.
func (c *Client) Config(ctx context.Context) (Config, error) {
	return ask[Config](ctx, c, http.MethodGet, "/v1/config")
}

// LogLevel returns the level of the log.
func (c *Client) LogLevel(ctx context.Context) (LogLevel, error) {
	return ask[LogLevel](ctx, c, http.MethodGet, "/v1/log-level")
}

// SetLogLevel sets the level of the log for a while.
func (c *Client) SetLogLevel(ctx context.Context, level string, d time.Duration) (LogLevel, error) {
	return ask[LogLevel](ctx, c, http.MethodPut, "/v1/log-level?"+url.Values{"level": {level}, "for": {d.String()}}.Encode())
}

// Reload has the agent read its configuration again.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	return ask[Reloaded](ctx, c, http.MethodPost, "/v1/reload")
}

// ResetLogLevel sets the level of the log to the configured one.
func (c *Client) ResetLogLevel(ctx context.Context) (LogLevel, error) {
	return ask[LogLevel](ctx, c, http.MethodDelete, "/v1/log-level")
}

func (s *Server) routeProcess(e *echo.Echo) {
	if s.process == nil {
		return
	}
	e.GET("/v1/health", answerHealth(s.process.Health))
	e.GET("/v1/ready", answerHealth(s.process.Ready))
	e.GET("/v1/config", conns.JSON(func(echo.Context) (Config, error) { return s.process.Config(), nil }))
	e.GET("/v1/log-level", conns.JSON(func(echo.Context) (LogLevel, error) { return s.process.LogLevel(), nil }))
	e.PUT("/v1/log-level", conns.JSON(s.setLogLevel))
	e.DELETE("/v1/log-level", conns.JSON(s.resetLogLevel))
	e.POST("/v1/reload", conns.JSON(s.reload))
	e.GET("/v1/goroutines", s.goroutines)
}
