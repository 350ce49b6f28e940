package logging

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/config"
)

// Logging does not block on a full pipe without a reader.
func TestLogNeverWaits(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log, err := Open(config.Log{Level: "info", Format: config.FormatJSON}, w, "")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3 * maxLines {
			log.Info().Int("line", i).Msg("not read")
		}
		log.Close()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("logging waits for the reader")
	}
	if n := log.Counts().Dropped; n == 0 || n > 3*maxLines {
		t.Errorf("%d lines count as dropped", n)
	}
	_ = w.Close() // unblocks the writer
}

// The queue is also bounded in bytes.
func TestWaitingBytesAreBounded(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	s := newSink(writerFunc(func(p []byte) (int, error) { <-block; return len(p), nil }), nil, func(Counts) []byte { return nil })
	line := make([]byte, 1<<20)
	for range 20 {
		s.put(line)
	}
	if n := s.waiting.Load(); n > maxBytes {
		t.Errorf("%d bytes wait", n)
	}
	if s.counts().Dropped == 0 {
		t.Error("nothing was dropped")
	}
	close(block)
	s.close(time.Minute)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// While the output fails, lines go to the fallback; afterwards their number is reported.
func TestFallback(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	var mu sync.Mutex
	var out, fall bytes.Buffer
	s := newSink(writerFunc(func(p []byte) (int, error) {
		if broken.Load() {
			return 0, syscall.EPIPE
		}
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	}), &fall, func(c Counts) []byte { return fmt.Appendf(nil, "missing %d %d\n", c.Dropped, c.Diverted) })
	s.put([]byte("a\n"))
	s.close(time.Minute)
	broken.Store(true)
	for _, line := range []string{"b\n", "c\n"} {
		s.write([]byte(line))
	}
	broken.Store(false)
	s.failed = time.Now().Add(-2 * retryAfter)
	s.write([]byte("d\n"))
	s.write([]byte("e\n"))
	if got := out.String(); got != "a\nd\nmissing 0 2\ne\n" {
		t.Errorf("the output has %q", got)
	}
	if got := fall.String(); got != "b\nc\n" {
		t.Errorf("the fallback has %q", got)
	}
}

// The fallback file is bounded and does not follow links.
func TestFallbackFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	f := &fallback{path: path}
	line := bytes.Repeat([]byte("x"), 100_000)
	for range 50 {
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	var sum int64
	for _, name := range []string{path, path + ".old"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != 0o600 {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
		sum += info.Size()
	}
	if sum > 2*maxFile || sum < maxFile {
		t.Errorf("the files have %d bytes", sum)
	}
	precious := filepath.Join(t.TempDir(), "precious")
	link := filepath.Join(t.TempDir(), "log")
	if err := errors.Join(os.WriteFile(precious, nil, 0o600), os.Symlink(precious, link)); err != nil {
		t.Fatal(err)
	}
	if _, err := (&fallback{path: link}).Write(line); err == nil {
		t.Error("a link was followed")
	}
}

func lines(t *testing.T, cfg config.Log, say func(*Log)) []string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log, err := Open(cfg, w, "")
	if err != nil {
		t.Fatal(err)
	}
	say(log)
	log.Close()
	_ = w.Close()
	var all []string
	for scan := bufio.NewScanner(r); scan.Scan(); {
		all = append(all, scan.Text())
	}
	return all
}

func hello(log *Log) {
	log.Warn().Str("addr", "x").Msg("hello")
	log.Debug().Msg("not this")
}

func TestFormats(t *testing.T) {
	for _, format := range []config.LogFormat{config.FormatJSON, config.FormatBunyan} {
		name := zerolog.MessageFieldName
		got := lines(t, config.Log{Level: "info", Format: format}, hello)
		zerolog.MessageFieldName = name
		if len(got) != 1 {
			t.Fatalf("%s: %q", format, got)
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(got[0]), &fields); err != nil {
			t.Fatalf("%s: %v in %q", format, err, got[0])
		}
		want := map[config.LogFormat]map[string]any{
			config.FormatJSON:   {"level": "warn", "addr": "x", "message": "hello"},
			config.FormatBunyan: {"level": 40.0, "addr": "x", "msg": "hello", "v": 0.0, "name": "sled-agent"},
		}[format]
		for key, value := range want {
			if fields[key] != value {
				t.Errorf("%s: %s is %v, want %v, in %q", format, key, fields[key], value, got[0])
			}
		}
	}
}

// Only the journal gets priorities.
func TestPriorities(t *testing.T) {
	name := zerolog.MessageFieldName
	defer func() { zerolog.MessageFieldName = name }()
	for _, c := range []struct {
		format config.LogFormat
		stream func(*os.File) string
		prefix string
	}{
		{config.FormatJSON, streamOf, `<4>{"level":"warn"`},
		{config.FormatConsole, streamOf, "<4>"},
		{config.FormatBunyan, streamOf, `{"v":0`},
		{config.FormatJSON, func(*os.File) string { return "" }, `{"level":"warn"`},
		{config.FormatJSON, func(*os.File) string { return "8:1" }, `{"level":"warn"`},
		{config.FormatConsole, func(*os.File) string { return "8:1" }, ""},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("JOURNAL_STREAM", c.stream(w))
		t.Setenv("NO_COLOR", "1")
		log, err := Open(config.Log{Level: "info", Format: c.format}, w, "")
		if err != nil {
			t.Fatal(err)
		}
		log.Warn().Msg("hello")
		log.Close()
		_ = w.Close()
		text, _ := io.ReadAll(r)
		_ = r.Close()
		zerolog.MessageFieldName = name
		if !strings.HasPrefix(string(text), c.prefix) || c.prefix == "" && strings.HasPrefix(string(text), "<") {
			t.Errorf("%s, stream %q: %q, want the prefix %q", c.format, c.stream(w), text, c.prefix)
		}
	}
}

// streamOf returns the value that systemd would set JOURNAL_STREAM to.
func streamOf(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// Messages of the standard library's log become ordinary lines, and a peer cannot
// fill the log with them.
func TestCapture(t *testing.T) {
	defer stdlog.SetOutput(os.Stderr)
	got := lines(t, config.Log{Level: "info", Format: config.FormatJSON}, func(log *Log) {
		log.Capture()
		for range 1000 {
			stdlog.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=<nil>", "junk\n\x1b[31m")
		}
	})
	if len(got) == 0 || len(got) > 2*capturedLines {
		t.Fatalf("1000 messages are %d lines", len(got))
	}
	var line struct{ Level, Line string }
	if err := json.Unmarshal([]byte(got[0]), &line); err != nil || line.Level != "warn" || !strings.Contains(line.Line, "Unsolicited") {
		t.Errorf("%s: %v", got[0], err)
	}
}

// TestConsole: times are in UTC, and colours only on a terminal. It is not parallel, since it
// reads settings of zerolog that Open makes.
func TestConsole(t *testing.T) {
	line := []byte(`{"level":"info","vmms":0,"time":"2026-11-23T14:40:09.053+02:00","message":"ledger loaded"}`)
	for terminal, want := range map[bool]string{
		true:  "\x1b[90m12:40:09.053Z\x1b[0m ",
		false: "2026-11-23T12:40:09.053Z INF ledger loaded vmms=0\n",
	} {
		if got := string(console(terminal)(zerolog.InfoLevel, line)); !strings.HasPrefix(got, want) {
			t.Errorf("terminal %t: %q, want %q", terminal, got, want)
		}
	}
}
