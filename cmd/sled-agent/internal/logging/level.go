package logging

import (
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// A level is that of the whole process, for a while another one than the configured. It is
// zerolog's global one: loggers that were derived from the log follow it.
type level struct {
	mu sync.Mutex
	// configured is the level of the configuration, now that in force.
	configured, now zerolog.Level
	by              string
	until           time.Time   // zero unless it was set
	back            *time.Timer // to the configured level
}

// A LevelState says which lines are logged.
type LevelState struct {
	Level, Configured string
	// Until is when it falls back to the configured level, and By is who has set it; zero
	// unless it was set.
	Until time.Time
	By    string
}

// Level returns the level.
func (l *Log) Level() LevelState {
	l.level.mu.Lock()
	defer l.level.mu.Unlock()
	return l.level.state()
}

func (l *level) state() LevelState {
	return LevelState{Level: l.now.String(), Configured: l.configured.String(), Until: l.until, By: l.by}
}

// SetLevel sets the level for a while. An empty name is the configured level.
func (l *Log) SetLevel(name, by string, d time.Duration) (LevelState, error) {
	to, err := parse(name)
	if err != nil {
		return LevelState{}, err
	}
	v := &l.level
	v.mu.Lock()
	defer v.mu.Unlock()
	if name == "" {
		to = v.configured
	}
	l.change(to, by, d)
	v.by, v.until = "", time.Time{}
	if name != "" {
		v.by, v.until = by, time.Now().Add(d)
		var back *time.Timer
		back = time.AfterFunc(d, func() { l.fallBack(&back) })
		v.back = back
	}
	return v.state(), nil
}

// parse reads the name of a level; an empty one is that of the configuration.
func parse(name string) (zerolog.Level, error) {
	if name == "" {
		return zerolog.NoLevel, nil
	}
	to, err := zerolog.ParseLevel(name)
	if err != nil || to < zerolog.TraceLevel || to > zerolog.ErrorLevel {
		return to, fmt.Errorf("%q is not one of trace, debug, info, warn, error", name)
	}
	return to, nil
}

// Configure changes the configured level. One that was set for a while stays in force until then.
func (l *Log) Configure(name, by string) error {
	to, err := parse(name)
	if err != nil {
		return err
	}
	v := &l.level
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.configured = to; v.back == nil && v.now != to {
		l.change(to, by, 0)
	}
	return nil
}

// fallBack ends a level that was set, unless it was set anew since.
func (l *Log) fallBack(timer **time.Timer) {
	v := &l.level
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.back == nil || v.back != *timer {
		return
	}
	l.change(v.configured, "", 0)
	v.by, v.until = "", time.Time{}
}

// set makes a level that of the process. v.mu is held.
func (v *level) set(to zerolog.Level) {
	if v.back != nil {
		v.back.Stop()
		v.back = nil
	}
	v.now = to
	zerolog.SetGlobalLevel(to)
}

// change sets and logs a level, while the one that lets more through is in force. v.mu is held.
func (l *Log) change(to zerolog.Level, by string, d time.Duration) {
	v := &l.level
	if to > v.now {
		l.note(to, by, d)
		v.set(to)
		return
	}
	v.set(to)
	l.note(to, by, d)
}

// note logs a change.
func (l *Log) note(to zerolog.Level, by string, d time.Duration) {
	entry := l.Warn().Stringer("log_level", to)
	if by != "" {
		entry = entry.Str("by", by)
	}
	if d > 0 {
		entry = entry.Stringer("for", d)
	}
	entry.Msg("log level changed")
}
