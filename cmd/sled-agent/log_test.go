package main

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/sledagent/sledagent/config"
)

// TestLogNeverWaits logs far more than a pipe holds while nobody reads it.
func TestLogNeverWaits(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log, flush, err := newLog(config.Log{Level: config.LevelInfo, Format: config.FormatJSON}, w)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3 * logBuffer {
			log.Info().Int("line", i).Msg("nobody reads this")
		}
		flush()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("logging waits for the reader")
	}
	_ = w.Close() // lets the writer that is stuck in it go
}

func TestLogFormats(t *testing.T) {
	for _, format := range []config.LogFormat{config.FormatJSON, config.FormatBunyan} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		log, flush, err := newLog(config.Log{Level: config.LevelInfo, Format: format}, w)
		if err != nil {
			t.Fatal(err)
		}
		log.Warn().Str("addr", "x").Msg("hello")
		log.Debug().Msg("not this")
		flush()
		line, err := bufio.NewReader(r).ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v in %q", format, err, line)
		}
		want := map[config.LogFormat]map[string]any{
			config.FormatJSON:   {"level": "warn", "addr": "x", "message": "hello"},
			config.FormatBunyan: {"level": 40.0, "addr": "x", "msg": "hello", "v": 0.0, "name": "sled-agent"},
		}[format]
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %v, want %v, in %q", format, key, got[key], value, line)
			}
		}
		_ = r.Close()
		_ = w.Close()
	}
}
