package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// section is a table of the configuration file.
type section = map[string]any

// A setup configures one test's agent. The zero value is an agent with defaults and a healthy
// Nexus.
type setup struct {
	// server replaces the servers' command line, which otherwise runs the shell line that a test
	// sets for a VMM (see vm.serverScript).
	server []string
	// zones, watchdog, propolis and nexus are keys of those sections.
	zones, watchdog, propolis, nexus section
	// standalone: there is no Nexus.
	standalone bool
	// sequential: the test does not run in parallel with its siblings.
	sequential bool
	// manual: the test starts the agent.
	manual bool
	// restarts: the agent is ended and restarted. Requests are repeated until they are answered,
	// and each VMM is watched.
	restarts bool
	// nexusPort makes Nexus serve on its own port, which it can close. Then a zone is not checked
	// when its VMM's terminal state arrives. restarts implies it.
	nexusPort bool
	// program is the agent's executable, wrapper a command that becomes the agent.
	program string
	wrapper []string
	// env adds to the environment of each agent in turn; later agents get no additions.
	env [][]string
}

// argv is the command line of the servers.
func (s setup) argv(dir string) []string {
	if s.server != nil {
		return s.server
	}
	return []string{"sh", "-c", `sim=$0 addr=$1; [ ! -f "$2" ] || . "$2"; exec "$sim" run $flags "$addr"`,
		program("propolis-sim"), "{addr}", filepath.Join(dir, "{zone}")}
}

// config returns the configuration of an agent below dir.
func (s setup) config(dir, listen, nexus string, b backend) section {
	toNexus := section{"retry_initial": "20ms", "retry_max": "200ms", "addresses": []string{}}
	if nexus != "" {
		toNexus["addresses"] = []string{nexus}
	}
	maps.Copy(toNexus, s.nexus)
	zones := b.config()
	maps.Copy(zones, s.zones)
	c := section{
		"state_dir": filepath.Join(dir, "state"),
		"api":       section{"listen": listen},
		"admin":     section{"metrics": ""},
		"log":       section{"level": "debug", "format": "json"},
		"nexus":     toNexus,
		"zones":     zones,
	}
	for name, keys := range map[string]section{"watchdog": s.watchdog, "propolis": s.propolis} {
		if keys != nil {
			c[name] = keys
		}
	}
	return c
}

// writeConfig writes a configuration file and returns its path.
func writeConfig(t testing.TB, dir string, c section) string {
	t.Helper()
	text, err := toml.Marshal(c)
	must(t, err)
	path := filepath.Join(dir, "sled-agent.toml")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}
