package config

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// A key is one key of the file, bound to its place in a Config.
type key struct {
	name string // dotted
	// set checks a decoded value and stores it in normal form. Its errors quote the
	// default as an example.
	set func(value, preset any) error
	// get returns the stored value as written in a file.
	get func() any
}

// keys returns every key of the file, bound to its place in c. Meanings and defaults are in
// default.toml.
func (c *Config) keys() []key {
	return []key{
		text(&c.StateDir, "state_dir", absolutePath),
		bind(&c.SledID, "sled_id", optional(sledID), orEmpty[uuid.UUID]),

		bind(&c.API.Listen, "api.listen", addrPort, orEmpty[netip.AddrPort]),
		bind(&c.API.Clients, "api.clients", apiClients, func(all []APIClient) any { return all }),

		text(&c.API.TLS.Cert, "api.tls.cert", optional(absolutePath)),
		text(&c.API.TLS.Key, "api.tls.key", optional(absolutePath)),
		text(&c.API.TLS.ClientCA, "api.tls.client_ca", optional(absolutePath)),

		text(&c.Admin.Socket, "admin.socket", optional(absolutePath)),
		text(&c.Admin.Group, "admin.group", optional(groupName)),
		text(&c.Admin.Metrics, "admin.metrics", optional(hostPort)),
		span(&c.Admin.KeepEnded, "admin.keep_ended"),

		text(&c.Metrics.WebConfig, "metrics.web_config", optional(absolutePath)),

		text(&c.Log.Level, "log.level", oneOf("trace", "debug", "info", "warn", "error")),
		text(&c.Log.Format, "log.format", optional(oneOf(FormatJSON, FormatConsole, FormatBunyan))),

		list(&c.Nexus.Addresses, "nexus.addresses", each(baseURL)),
		list(&c.Nexus.DNS, "nexus.dns", atMost(maxNameServers, each(nameServer))),
		span(&c.Nexus.RequestTimeout, "nexus.request_timeout"),
		span(&c.Nexus.RetryInitial, "nexus.retry_initial"),
		span(&c.Nexus.RetryMax, "nexus.retry_max"),
		span(&c.Nexus.GiveUpAfter, "nexus.give_up_after"),

		text(&c.Nexus.TLS.Cert, "nexus.tls.cert", optional(absolutePath)),
		text(&c.Nexus.TLS.Key, "nexus.tls.key", optional(absolutePath)),
		text(&c.Nexus.TLS.CA, "nexus.tls.ca", optional(absolutePath)),
		text(&c.Nexus.TLS.ServerName, "nexus.tls.server_name", optional(serverName)),

		span(&c.Propolis.RequestTimeout, "propolis.request_timeout"),
		span(&c.Propolis.GoneAfter, "propolis.gone_after"),
		text(&c.Propolis.APIVersion, "propolis.api_version", semver),

		span(&c.Watchdog.StopGrace, "watchdog.stop_grace"),
		span(&c.Watchdog.MaxStopGrace, "watchdog.max_stop_grace"),
		span(&c.Watchdog.StartTimeout, "watchdog.start_timeout"),
		span(&c.Watchdog.RebootTimeout, "watchdog.reboot_timeout"),
		span(&c.Watchdog.EvidenceBudget, "watchdog.evidence_budget"),

		bind(&c.Evidence.Commands, "evidence.commands", commandLines, func(all [][]string) any { return all }),
		bind(&c.Evidence.MaxSize, "evidence.max_size", byteSize, formatByteSize),
		span(&c.Evidence.Keep, "evidence.keep"),

		text(&c.Zones.Backend, "zones.backend", oneOf(BackendAuto, BackendIllumos, BackendProcess)),
		text(&c.Zones.Prefix, "zones.prefix", zonePrefix),
		text(&c.Zones.Orphans, "zones.orphans", optional(oneOf(OrphansRemove, OrphansKeep))),
		whole(&c.Zones.MaxTasks, "zones.max_tasks", 64, 1<<20),

		list(&c.Zones.Process.Propolis, "zones.process.propolis", argv),

		text(&c.Zones.Illumos.CommandPath, "zones.illumos.command_path", searchPath),
		text(&c.Zones.Illumos.VMMCtl, "zones.illumos.vmmctl", optional(absolutePath)),
		text(&c.Zones.Illumos.ZoneRoot, "zones.illumos.zone_root", shellSafePath),
		text(&c.Zones.Illumos.Brand, "zones.illumos.brand", brand),
		list(&c.Zones.Illumos.Image, "zones.illumos.image", image),
		text(&c.Zones.Illumos.Link, "zones.illumos.link", datalink),
		text(&c.Zones.Illumos.Service, "zones.illumos.service", fmri),
		bind(&c.Zones.Illumos.Gateway, "zones.illumos.gateway", optional(gateway), orEmpty[netip.Addr]),

		bind(&c.VMMReservoir.Size, "vmm_reservoir.size", optional(byteSize), formatByteSize),
		whole(&c.VMMReservoir.Percent, "vmm_reservoir.percent", 0, 99),
	}
}

// bind makes a key whose values are decoded as a V: a string, an int64 or a []any. parse
// checks and normalizes a value; format is the reverse.
func bind[V, T any](p *T, name string, parse func(V) (T, error), format func(T) any) key {
	set := func(value, preset any) (err error) {
		v, ok := value.(V)
		if !ok {
			want := typeName(v)
			if preset != "" {
				want += " such as " + literal(preset)
			}
			return fmt.Errorf("want %s, got %s", want, typeName(value))
		}
		*p, err = parse(v)
		return err
	}
	return key{name, set, func() any { return format(*p) }}
}

// text makes a key whose value is a string.
func text[T ~string](p *T, name string, parse func(string) (string, error)) key {
	return bind(p, name,
		func(s string) (T, error) { s, err := parse(s); return T(s), err },
		func(v T) any { return string(v) })
}

// span makes a key whose value is a duration.
func span(p *time.Duration, name string) key {
	return bind(p, name, duration, func(d time.Duration) any { return formatDuration(d) })
}

// whole makes a key whose value is an integer within bounds.
func whole(p *int, name string, least, most int64) key {
	parse := func(n int64) (int, error) {
		if n < least || n > most {
			return 0, fmt.Errorf("%d is not within %d and %d", n, least, most)
		}
		return int(n), nil
	}
	return bind(p, name, parse, func(n int) any { return n })
}

// list makes a key whose value is an array of strings.
func list[T any](p *[]T, name string, parse func([]string) ([]T, error)) key {
	parseItems := func(items []any) ([]T, error) {
		words := make([]string, len(items))
		for i, item := range items {
			word, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("item %d: want a string, got %s", i+1, typeName(item))
			}
			words[i] = word
		}
		return parse(words)
	}
	return bind(p, name, parseItems, func(values []T) any { return values })
}

// typeName names the TOML type of a decoded value.
func typeName(value any) string {
	switch v := value.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case map[string]any:
		return "a table"
	case []any:
		if len(v) > 0 && typeName(v[0]) == "a table" {
			return "an array of tables"
		}
		return "an array"
	}
	return "a date or time"
}
