package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/logging"
)

const (
	// beatPeriod is the time between two beats of the watchdog, if systemd wants no more.
	beatPeriod = 5 * time.Second
	// beatSlack is how late a beat may be on a busy host.
	beatSlack = 5 * time.Second
)

// pulse is the newest beat of the watchdog, which is a deadline like that of a stop.
type pulse struct {
	every time.Duration
	last  atomic.Pointer[time.Time]
}

func (p *pulse) beat() { p.last.Store(new(time.Now())) }

// check returns an error if the watchdog does not beat.
func (p *pulse) check(now time.Time) error {
	last := p.last.Load()
	if last == nil {
		return errors.New("the watchdog has not begun")
	}
	if late := now.Sub(*last); late > p.every+beatSlack {
		return fmt.Errorf("the watchdog kept no deadline for %s", late.Round(time.Second))
	}
	return nil
}

// watch begins the beats, and reports them to systemd if it expects that.
func (d *daemon) watch() {
	d.pulse.beat()
	every, wanted := watchdogPeriod()
	if !wanted || every > beatPeriod {
		every = beatPeriod
	}
	d.pulse.every = every
	d.agent.Heartbeat(every, func() {
		d.pulse.beat()
		if wanted {
			d.notifier.say(beat)
		}
	})
}

// Health reports whether the agent can keep its deadlines.
func (d *daemon) Health() admin.Health {
	return admin.Health{}.Checked("watchdog", d.pulse.check(time.Now()))
}

// Ready reports whether the agent serves: whether a VMM could be registered, but for a drain.
func (d *daemon) Ready() admin.Health {
	_, _, loaded := d.agent.Held()
	h := d.Health().Checked("ledger loaded", failing(!loaded, "VMMs are being loaded from the ledger")).
		Checked("ledger", d.ledger.Trouble()).
		Checked("sled API", failing(d.addr.Load() == nil, "it does not listen")).
		Checked("sled id", failing(d.identity.metadata().SledID == uuid.Nil, "it is not known yet"))
	parts := make([]error, 0)
	for _, trouble := range d.troubles.all() {
		parts = append(parts, errors.New(trouble))
	}
	return h.Checked("parts", errors.Join(parts...))
}

func failing(is bool, why string) error {
	if is {
		return errors.New(why)
	}
	return nil
}

// Config returns the configuration in force.
func (d *daemon) Config() admin.Config {
	return admin.Config{File: d.file, Values: d.inForce.Load().Values()}
}

// LogLevel returns the log's level.
func (d *daemon) LogLevel() admin.LogLevel { return levelOf(d.log.Level()) }

// SetLogLevel sets the log's level for a while.
func (d *daemon) SetLogLevel(by vmm.Who, level string, span time.Duration) (admin.LogLevel, error) {
	now, err := d.log.SetLevel(level, string(by), span)
	return levelOf(now), err
}

func levelOf(s logging.LevelState) admin.LogLevel {
	l := admin.LogLevel{Level: s.Level, Configured: s.Configured, By: s.By}
	if !s.Until.IsZero() {
		until := s.Until.UTC()
		l.Until = &until
	}
	return l
}
