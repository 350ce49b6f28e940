package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// section is a table of the configuration file.
type section = map[string]any

// A setup says what is special about one test's agent. The zero value is an
// agent with defaults and a healthy Nexus.
type setup struct {
	// server replaces the servers' command line, which otherwise lets each VMM's
	// server begin in a way of its own (see vm.born).
	server []string
	// zones, watchdog, propolis and nexus are keys of those sections.
	zones, watchdog, propolis, nexus section
	// standalone: there is no Nexus.
	standalone bool
	// alone: no other test runs meanwhile.
	alone bool
	// nexusPort makes Nexus serve on its own port, which it can close. A zone is
	// then not looked for when its VMM's terminal state arrives.
	nexusPort bool
}

// argv is the command line of the servers.
func (s setup) argv(dir string) []string {
	if s.server != nil {
		return s.server
	}
	return []string{"sh", "-c", `sim=$0 addr=$1; [ ! -f "$2" ] || . "$2"; exec "$sim" run $flags "$addr"`,
		trial.Path("propolis-sim"), "{addr}", filepath.Join(dir, "{zone}")}
}

// config is the configuration of an agent below dir that has its zones on the
// ground and reports to nexus.
func (s setup) config(dir, nexus string, g ground) section {
	toNexus := section{"retry_initial": "20ms", "retry_max": "200ms"}
	if nexus != "" {
		toNexus["addresses"] = []string{nexus}
	}
	maps.Copy(toNexus, s.nexus)
	zones := g.zones()
	maps.Copy(zones, s.zones)
	c := section{
		"state_dir": filepath.Join(dir, "state"),
		"api":       section{"listen": "127.0.0.1:0"},
		"log":       section{"level": "debug", "format": "json"},
		"nexus":     toNexus,
		"zones":     zones,
	}
	if s.watchdog != nil {
		c["watchdog"] = s.watchdog
	}
	if s.propolis != nil {
		c["propolis"] = s.propolis
	}
	return c
}

// writeConfig writes a configuration file and returns its path.
func writeConfig(t *testing.T, dir string, c section) string {
	t.Helper()
	text, err := toml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sled-agent.toml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
