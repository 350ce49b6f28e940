package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/config"
)

// reloadOn reloads the configuration at each signal until ctx ends. It begins when the agent
// serves: a signal that came before is pending.
func (d *daemon) reloadOn(ctx context.Context, hups <-chan os.Signal) {
	for {
		select {
		case <-hups:
			_, _ = d.Reload("SIGHUP") // the error is logged
		case <-ctx.Done():
			return
		}
	}
}

// Reload reads the configuration again and applies what can change while the agent runs. A
// configuration that is wrong changes nothing.
func (d *daemon) Reload(by vmm.Who) (done admin.Reloaded, err error) {
	if !d.reloading.TryLock() { // the disk with the file hangs
		return done, errors.New("the configuration is being reloaded")
	}
	defer d.reloading.Unlock()
	d.notifier.reloading()
	defer d.ready()
	if done, err = d.reload(by); err != nil {
		d.log.Error().Err(err).Str("by", string(by)).Msg("configuration not reloaded; nothing has changed")
		return done, err
	}
	line := d.log.Info()
	if len(done.Restart) > 0 {
		line = d.log.Warn()
	}
	line.Str("by", string(by)).Strs("applied", done.Applied).Strs("needs_restart", done.Restart).Msg("configuration reloaded")
	return done, nil
}

func (d *daemon) reload(by vmm.Who) (done admin.Reloaded, err error) {
	next, err := config.Load(d.file)
	if err != nil {
		return done, err
	}
	now, applied, restart := d.inForce.Load().Reload(next)
	if d.cfg.Admin.Metrics != "" {
		if err := checkWeb(now.Metrics.WebConfig); err != nil { // it is read for each request
			return done, err
		}
	}
	if err := d.log.Configure(now.Log.Level, string(by)); err != nil {
		return done, fmt.Errorf("log.level: %w", err)
	}
	d.agent.Reconfigure(limitsOf(now), now.Watchdog.EvidenceBudget)
	d.evidence.Configure(now.Evidence.Commands, int64(now.Evidence.MaxSize), now.Evidence.Keep)
	d.inForce.Store(now)
	return admin.Reloaded{Applied: append([]string{}, applied...), Restart: append([]string{}, restart...)}, nil
}
