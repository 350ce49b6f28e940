package cli

import (
	"errors"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A process is one whose sled API does not listen.
type process struct {
	level admin.LogLevel
	// wrong is what is wrong with the configuration.
	wrong string
}

func (p *process) Health() admin.Health { return admin.Health{}.Checked("watchdog", nil) }

func (p *process) Ready() admin.Health {
	return p.Health().Checked("sled API", errors.New("listen:\naddress in use"))
}

func (p *process) Config() admin.Config {
	return admin.Config{File: "/etc/a.toml", Values: map[string]any{"log.level": "info", "api.clients": []string{}, "zones.max_tasks": 64}}
}

func (p *process) LogLevel() admin.LogLevel { return p.level }

func (p *process) SetLogLevel(by vmm.Who, level string, d time.Duration) (admin.LogLevel, error) {
	p.level = admin.LogLevel{Level: "info", Configured: "info"}
	if level == "loud" {
		return p.level, errors.New("no such level")
	}
	if level != "" {
		until := now.Add(d)
		p.level = admin.LogLevel{Level: level, Configured: "info", Until: &until, By: string(by.Kind())}
	}
	return p.level, nil
}

func (p *process) Reload(vmm.Who) (admin.Reloaded, error) {
	if p.wrong != "" {
		return admin.Reloaded{}, errors.New(p.wrong)
	}
	return admin.Reloaded{Applied: []string{"log.level", "evidence.keep"}, Restart: []string{"nexus.addresses"}}, nil
}
