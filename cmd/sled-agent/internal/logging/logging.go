package logging

import (
	"fmt"
	"io"
	stdlog "log"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/sledagent/sledagent/config"
)

// flushBudget is how long Close waits for queued lines to be written.
const flushBudget = 200 * time.Millisecond

// Lines of the standard library are mostly caused by peers, which could flood the
// log. At most this many are logged in this period.
const (
	capturedLines = 10
	capturedIn    = time.Second
)

// A Log is the agent's log on one output.
type Log struct {
	zerolog.Logger
	sink  *sink
	level level
}

// Open makes a log on out. While writing to out fails, lines go to the file
// fallbackPath, unless it is empty. Without a configured format the format is console
// on a terminal and JSON elsewhere. The level is that of the whole process.
func Open(cfg config.Log, out *os.File, fallbackPath string) (*Log, error) {
	configured, err := zerolog.ParseLevel(string(cfg.Level))
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	zerolog.TimeFieldFormat = time.RFC3339Nano
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	zerolog.DurationFieldUnit = time.Millisecond
	zerolog.ErrorHandler = func(error) {} // by default it writes to standard error
	f := formatFor(cfg.Format, out)
	var fall io.Writer
	if fallbackPath != "" {
		fall = &fallback{path: fallbackPath}
	}
	s := newSink(out, fall, func(missing Counts) (line []byte) {
		l := f.onto(func(p []byte) { line = p })
		l.Warn().Uint64("dropped", missing.Dropped).Uint64("diverted", missing.Diverted).
			Str("fallback", fallbackPath).Msg("log output recovered; lines are missing before this one")
		return line
	})
	zerolog.SetGlobalLevel(configured)
	return &Log{Logger: f.onto(s.put), sink: s, level: level{configured: configured, now: configured}}, nil
}

func formatFor(name config.LogFormat, out *os.File) format {
	terminal := term.IsTerminal(int(out.Fd()))
	if name == "" {
		name = config.FormatJSON
		if terminal {
			name = config.FormatConsole
		}
	}
	var f format
	switch name {
	case config.FormatBunyan:
		zerolog.MessageFieldName = "msg"
		return bunyan() // bunyan's readers parse each line as JSON
	case config.FormatConsole:
		f = console(terminal)
	default:
		f = asIs
	}
	if isJournal(out, os.Getenv("JOURNAL_STREAM")) {
		return f.prioritised()
	}
	return f
}

// Counts returns how many lines have not reached the output so far.
func (l *Log) Counts() Counts { return l.sink.counts() }

// Close writes the queued lines and returns after flushBudget at the latest.
func (l *Log) Close() { l.sink.close(flushBudget) }

// Capture redirects the standard library's log package into this log.
func (l *Log) Capture() {
	limited := l.Sample(&zerolog.BurstSampler{Burst: capturedLines, Period: capturedIn})
	stdlog.SetFlags(0)
	stdlog.SetPrefix("")
	stdlog.SetOutput(captured{limited})
}

// captured logs lines of the standard library as warnings.
type captured struct{ log zerolog.Logger }

func (c captured) Write(p []byte) (int, error) {
	const most = 512 // in bytes; a peer may have chosen them
	c.log.Warn().Str("line", string(p[:min(len(p), most)])).Msg("standard library message")
	return len(p), nil
}
