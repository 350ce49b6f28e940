package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// A format turns one of zerolog's lines, a JSON object, into a line of the log. The
// result does not share memory with its argument.
type format func(level zerolog.Level, line []byte) []byte

func asIs(_ zerolog.Level, line []byte) []byte { return bytes.Clone(line) }

// console is the human-readable format, with short times and colours on a terminal.
// Times are in UTC, as in the other formats.
func console(terminal bool) format {
	layout := time.RFC3339Nano
	if terminal {
		layout = "15:04:05.000Z"
	}
	plain := !terminal || os.Getenv("NO_COLOR") != ""
	return func(_ zerolog.Level, line []byte) []byte {
		var b bytes.Buffer
		w := zerolog.ConsoleWriter{Out: &b, TimeFormat: layout, TimeLocation: time.UTC, NoColor: plain}
		if _, err := w.Write(line); err != nil {
			return bytes.Clone(line)
		}
		return b.Bytes()
	}
}

// bunyan is the format of the tools of illumos and Omicron
// (https://github.com/trentm/node-bunyan#log-record-fields).
func bunyan() format {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name, _ := json.Marshal(host) // a string always marshals
	head := fmt.Sprintf(`{"v":0,"name":"sled-agent","hostname":%s,"pid":%d,"level":`, name, os.Getpid())
	return func(level zerolog.Level, line []byte) []byte {
		rest := line // its beginning, zerolog's level, is replaced
		if bytes.HasPrefix(line, []byte(`{"level":`)) {
			if i := bytes.IndexByte(line, ','); i > 0 {
				rest = line[i+1:]
			}
		}
		return fmt.Appendf(nil, "%s%d,%s", head, bunyanLevel(level), bytes.TrimPrefix(rest, []byte("{")))
	}
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

// A writer formats lines and passes them to put.
type writer struct {
	format format
	put    func([]byte)
}

var _ zerolog.LevelWriter = writer{}

func (w writer) Write(p []byte) (int, error) { return w.WriteLevel(zerolog.NoLevel, p) }

func (w writer) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	w.put(w.format(level, p))
	return len(p), nil
}

// onto makes a logger that writes in the format.
func (f format) onto(put func([]byte)) zerolog.Logger {
	return zerolog.New(io.Writer(writer{f, put})).With().Timestamp().Logger()
}
