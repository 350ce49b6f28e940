package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"github.com/rs/zerolog"
)

// webLines is the limit of log lines per second about the web configuration file: one that
// was damaged is the cause of one for each request.
const webLines = 5

// listenMetrics listens for Prometheus, unless the web configuration file cannot be used.
func (d *daemon) listenMetrics(at string) (net.Listener, error) {
	if err := checkWeb(d.cfg.Metrics.WebConfig); err != nil {
		return nil, err
	}
	return net.Listen("tcp", at)
}

// serveMetrics returns what serves that listener; nil for plain HTTP.
func (d *daemon) serveMetrics() func(*http.Server, net.Listener) error {
	if d.cfg.Metrics.WebConfig == "" {
		return nil
	}
	return serveWeb(d.cfg.Metrics.WebConfig, d.log.Logger)
}

// serveWeb returns a function that serves with the TLS and the users of a web configuration
// file, which is read again for each connection and request. It serves HTTP/1 alone: each
// request has a connection of its own to be bounded by.
func serveWeb(file string, log zerolog.Logger) func(*http.Server, net.Listener) error {
	logger := slog.New(webLog{log.Sample(&zerolog.BurstSampler{Burst: webLines, Period: time.Second})})
	return func(server *http.Server, l net.Listener) error {
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)
		return web.Serve(l, server, &web.FlagConfig{WebConfigFile: &file}, logger)
	}
}

// checkWeb returns an error if a web configuration file cannot be used. No file is none.
func checkWeb(file string) error {
	if err := web.Validate(file); err != nil {
		return fmt.Errorf("metrics.web_config: read %s: %w", file, err)
	}
	return nil
}

// A webLog logs what is wrong with a web configuration file.
type webLog struct{ log zerolog.Logger }

func (webLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w webLog) Handle(_ context.Context, r slog.Record) error {
	line := w.log.Warn()
	r.Attrs(func(a slog.Attr) bool {
		line.Str(a.Key, a.Value.String())
		return true
	})
	line.Str("what", r.Message).Msg("metrics listener refuses requests")
	return nil
}

func (w webLog) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w webLog) WithGroup(string) slog.Handler      { return w }
