package config

import "reflect"

// Changed returns the names of the keys that have other values in next, in the order of the
// file.
func (c *Config) Changed(next *Config) (names []string) {
	others := next.keys()
	for i, k := range c.keys() {
		if !reflect.DeepEqual(k.get(), others[i].get()) {
			names = append(names, k.name)
		}
	}
	return names
}

// Reload returns c with those values of next that can change while an agent runs. applied are
// the keys that change by it, restart those that differ and need a restart. c is the
// configuration in force, so that these stay named until then.
//
// Not among the first are keys that decide where an agent listens and keeps its state, what
// its peers are, and what zones are like; and log.format, which is that of the whole process.
func (c *Config) Reload(next *Config) (now *Config, applied, restart []string) {
	merged := *c
	merged.Log.Level = next.Log.Level
	merged.Watchdog = next.Watchdog
	merged.Evidence = next.Evidence
	return &merged, c.Changed(&merged), merged.Changed(next)
}
