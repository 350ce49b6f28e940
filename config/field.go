package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// fields is every key of the file, in the order in which Write prints them: keys
// of one table stand together, and those outside of tables come first.
var fields = []field{
	text("state_dir", func(c *Config) *string { return &c.StateDir }, absolutePath),
	scalar("sled_id", func(c *Config) *uuid.UUID { return &c.SledID }, sledID, formatSledID),

	scalar("api.listen", func(c *Config) *netip.AddrPort { return &c.API.Listen }, addrPort, netip.AddrPort.String),

	text("admin.socket", func(c *Config) *string { return &c.Admin.Socket }, optional(absolutePath)),
	text("admin.metrics", func(c *Config) *string { return &c.Admin.Metrics }, optional(hostPort)),

	text("log.level", func(c *Config) *LogLevel { return &c.Log.Level },
		oneOf(LevelTrace, LevelDebug, LevelInfo, LevelWarn, LevelError)),
	text("log.format", func(c *Config) *LogFormat { return &c.Log.Format },
		optional(oneOf(FormatJSON, FormatConsole, FormatBunyan))),

	list("nexus.addresses", func(c *Config) *[]string { return &c.Nexus.Addresses }, each(baseURL)),
	span("nexus.request_timeout", func(c *Config) *time.Duration { return &c.Nexus.RequestTimeout }),
	span("nexus.retry_initial", func(c *Config) *time.Duration { return &c.Nexus.RetryInitial }),
	span("nexus.retry_max", func(c *Config) *time.Duration { return &c.Nexus.RetryMax }),
	span("nexus.give_up_after", func(c *Config) *time.Duration { return &c.Nexus.GiveUpAfter }),

	span("propolis.request_timeout", func(c *Config) *time.Duration { return &c.Propolis.RequestTimeout }),
	span("propolis.gone_after", func(c *Config) *time.Duration { return &c.Propolis.GoneAfter }),
	text("propolis.api_version", func(c *Config) *string { return &c.Propolis.APIVersion }, semver),

	span("watchdog.stop_grace", func(c *Config) *time.Duration { return &c.Watchdog.StopGrace }),
	span("watchdog.max_stop_grace", func(c *Config) *time.Duration { return &c.Watchdog.MaxStopGrace }),
	span("watchdog.start_timeout", func(c *Config) *time.Duration { return &c.Watchdog.StartTimeout }),
	span("watchdog.reboot_timeout", func(c *Config) *time.Duration { return &c.Watchdog.RebootTimeout }),
	span("watchdog.evidence_budget", func(c *Config) *time.Duration { return &c.Watchdog.EvidenceBudget }),

	text("zones.backend", func(c *Config) *Backend { return &c.Zones.Backend },
		oneOf(BackendAuto, BackendIllumos, BackendProcess)),
	text("zones.prefix", func(c *Config) *string { return &c.Zones.Prefix }, zonePrefix),
	text("zones.orphans", func(c *Config) *Orphans { return &c.Zones.Orphans }, optional(oneOf(OrphansRemove, OrphansKeep))),

	list("zones.process.propolis", func(c *Config) *[]string { return &c.Zones.Process.Propolis }, argv),

	text("zones.illumos.command_path", func(c *Config) *string { return &c.Zones.Illumos.CommandPath }, searchPath),
	text("zones.illumos.vmmctl", func(c *Config) *string { return &c.Zones.Illumos.VMMCtl }, optional(absolutePath)),
	text("zones.illumos.zone_root", func(c *Config) *string { return &c.Zones.Illumos.ZoneRoot }, shellSafePath),
	text("zones.illumos.brand", func(c *Config) *string { return &c.Zones.Illumos.Brand }, brand),
	list("zones.illumos.image", func(c *Config) *[]string { return &c.Zones.Illumos.Image }, image),
	text("zones.illumos.link", func(c *Config) *string { return &c.Zones.Illumos.Link }, datalink),
	text("zones.illumos.service", func(c *Config) *string { return &c.Zones.Illumos.Service }, fmri),
	scalar("zones.illumos.gateway", func(c *Config) *netip.Addr { return &c.Zones.Illumos.Gateway }, gateway, formatAddr),

	scalar("vmm_reservoir.size", func(c *Config) *uint64 { return &c.VMMReservoir.Size }, byteSize, formatByteSize),
	whole("vmm_reservoir.percent", func(c *Config) *int { return &c.VMMReservoir.Percent }, 0, 99),
}

// A field is one key of the file and its place in a Config.
type field struct {
	// key is the dotted name.
	key string
	// set stores a decoded TOML value that the key allows.
	set func(c *Config, value any) error
	// literal returns the value that c has, as TOML that set accepts.
	literal func(c *Config) string
}

// scalar describes a key whose value is written as a TOML string. parse checks
// it and brings it into its normal form; format is the reverse of parse.
func scalar[T any](key string, at func(*Config) *T, parse func(string) (T, error), format func(T) string) field {
	literal := func(c *Config) string { return quote(format(*at(c))) }
	return field{
		key:     key,
		literal: literal,
		set: func(c *Config, value any) error {
			s, ok := value.(string)
			if !ok {
				return wrongKind("a string", literal(Default()), value)
			}
			v, err := parse(s)
			if err == nil {
				*at(c) = v
			}
			return err
		},
	}
}

// text describes a scalar that stays a string.
func text[T ~string](key string, at func(*Config) *T, parse func(string) (string, error)) field {
	return scalar(key, at,
		func(s string) (T, error) { s, err := parse(s); return T(s), err },
		func(v T) string { return string(v) })
}

// whole describes a key whose value is a whole number within bounds.
func whole(key string, at func(*Config) *int, least, most int64) field {
	literal := func(c *Config) string { return strconv.Itoa(*at(c)) }
	return field{
		key:     key,
		literal: literal,
		set: func(c *Config, value any) error {
			n, ok := value.(int64)
			switch {
			case !ok:
				return wrongKind("a whole number", literal(Default()), value)
			case n < least || n > most:
				return fmt.Errorf("%d is not within %d and %d", n, least, most)
			}
			*at(c) = int(n)
			return nil
		},
	}
}

// span describes a key whose value is a duration, written as Go writes it.
func span(key string, at func(*Config) *time.Duration) field {
	return scalar(key, at, duration, formatDuration)
}

// list describes a key whose value is an array of strings.
func list(key string, at func(*Config) *[]string, parse func([]string) ([]string, error)) field {
	literal := func(c *Config) string { return quoteList(*at(c)) }
	return field{
		key:     key,
		literal: literal,
		set: func(c *Config, value any) error {
			items, ok := value.([]any)
			if !ok {
				return wrongKind("an array", literal(Default()), value)
			}
			words := make([]string, len(items))
			for i, item := range items {
				if words[i], ok = item.(string); !ok {
					return wrongKind("an array of strings", literal(Default()), item)
				}
			}
			words, err := parse(words)
			if err == nil {
				*at(c) = words
			}
			return err
		},
	}
}
