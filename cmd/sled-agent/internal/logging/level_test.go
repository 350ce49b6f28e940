package logging

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/config"
)

// The level is the process's, so that this test is not parallel to others.
func TestLevelFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		log, err := Open(config.Log{Level: "info", Format: config.FormatJSON}, out, "")
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		derived := log.Sample(&zerolog.BurstSampler{Burst: 100, Period: time.Second})
		check := func(want string, until time.Duration) {
			t.Helper()
			now := log.Level()
			if now.Level != want || now.Configured != "info" || (until == 0) != now.Until.IsZero() || until != 0 && time.Until(now.Until) != until {
				t.Errorf("%+v, want %s until in %s", now, want, until)
			}
			if got := derived.Debug().Enabled(); got != (want == "debug") {
				t.Errorf("at %s debug lines are logged: %t", want, got)
			}
		}
		set := func(level string, d time.Duration) {
			t.Helper()
			if _, err := log.SetLevel(level, "operator alice", d); err != nil {
				t.Fatal(err)
			}
		}
		pass := func(d time.Duration) {
			time.Sleep(d) // sleep: the time of a bubble
			synctest.Wait()
		}
		check("info", 0)
		set("debug", time.Minute)
		check("debug", time.Minute)
		pass(30 * time.Second)
		set("debug", time.Minute) // anew
		pass(59 * time.Second)
		check("debug", time.Second)
		pass(time.Second)
		check("info", 0)
		set("debug", time.Minute)
		set("", 0)
		check("info", 0)
		set("error", time.Hour)
		pass(time.Minute) // the first one's timer does nothing
		check("error", 59*time.Minute)
		set("", 0)
		for _, bad := range []string{"loud", "fatal", "disabled"} {
			if _, err := log.SetLevel(bad, "", time.Minute); err == nil {
				t.Errorf("%s is a level", bad)
			}
		}
		check("info", 0)
	})
}
