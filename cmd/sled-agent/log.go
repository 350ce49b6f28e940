package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/diode"
	"golang.org/x/term"

	"github.com/sledagent/sledagent/config"
)

const (
	// logBuffer is how many lines wait for whoever reads the log.
	logBuffer = 10_000
	// flushBudget is how long the exit waits for them to be read.
	flushBudget = 200 * time.Millisecond
)

// newLog makes the agent's log on w. Nothing that logs ever waits: when nobody
// reads w, lines are dropped and counted, since a full pipe must not be the
// reason that a deadline passes. flush writes out what waits.
func newLog(cfg config.Log, w *os.File) (log zerolog.Logger, flush func(), err error) {
	level, err := zerolog.ParseLevel(string(cfg.Level))
	if err != nil {
		return zerolog.Nop(), nil, fmt.Errorf("log level: %w", err)
	}
	zerolog.TimeFieldFormat = time.RFC3339Nano
	zerolog.DurationFieldUnit = time.Millisecond
	format := cfg.Format
	if format == "" {
		format = config.FormatJSON
		if term.IsTerminal(int(w.Fd())) {
			format = config.FormatConsole
		}
	}
	// The diode would close w with itself, and main has yet to say why it exits.
	buffer := diode.NewWriter(struct{ io.Writer }{w}, logBuffer, 0, func(missed int) {
		fmt.Fprintf(w, "{\"level\":\"warn\",\"message\":\"%d log lines were dropped\"}\n", missed)
	})
	var out io.Writer = buffer
	switch format {
	case config.FormatConsole:
		out = zerolog.ConsoleWriter{Out: buffer, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != ""}
	case config.FormatBunyan:
		zerolog.MessageFieldName = "msg"
		out = newBunyan(buffer)
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), func() { closeWithin(buffer, flushBudget) }, nil
}

// closeWithin closes c and waits for that no longer than d.
func closeWithin(c io.Closer, d time.Duration) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = c.Close() // there is nowhere left to say so
	}()
	select {
	case <-closed:
	case <-time.After(d):
	}
}

// bunyan turns zerolog's lines into bunyan's, the format of illumos's and
// Omicron's tools (https://github.com/trentm/node-bunyan#log-record-fields).
type bunyan struct {
	w    io.Writer
	head []byte
}

func newBunyan(w io.Writer) *bunyan {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name, _ := json.Marshal(host) // a string always marshals
	return &bunyan{w: w, head: fmt.Appendf(nil, `{"v":0,"name":"sled-agent","hostname":%s,"pid":%d,"level":`, name, os.Getpid())}
}

func (b *bunyan) Write(p []byte) (int, error) { return b.WriteLevel(zerolog.InfoLevel, p) }

// WriteLevel replaces the line's beginning, which holds zerolog's level.
func (b *bunyan) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	rest := p
	if bytes.HasPrefix(p, []byte(`{"level":`)) {
		if i := bytes.IndexByte(p, ','); i > 0 {
			rest = p[i+1:]
		}
	}
	line := fmt.Appendf(bytes.Clone(b.head), "%d,%s", bunyanLevel(level), bytes.TrimPrefix(rest, []byte("{")))
	if _, err := b.w.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}

func bunyanLevel(l zerolog.Level) int {
	switch l {
	case zerolog.TraceLevel:
		return 10
	case zerolog.DebugLevel:
		return 20
	case zerolog.WarnLevel:
		return 40
	case zerolog.ErrorLevel:
		return 50
	case zerolog.FatalLevel, zerolog.PanicLevel:
		return 60
	default:
		return 30
	}
}
