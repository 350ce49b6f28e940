package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A reload applies what it may and names the rest; nothing is lost.
func TestReload(t *testing.T) {
	t.Parallel()
	before, next := parse(t, nil), load(t, "changed.toml")
	now, applied, restart := before.Reload(next)
	want := []string{"log.level", "watchdog.stop_grace", "watchdog.max_stop_grace", "watchdog.start_timeout", "watchdog.reboot_timeout",
		"watchdog.evidence_budget", "evidence.commands", "evidence.max_size", "evidence.keep"}
	if !slices.Equal(applied, want) {
		t.Errorf("applied is %q, want %q", applied, want)
	}
	if all := len(new(Config).keys()); len(applied)+len(restart) != all {
		t.Errorf("%d and %d keys of %d: each of changed.toml differs from its default", len(applied), len(restart), all)
	}
	for _, name := range []string{"state_dir", "nexus.addresses", "log.format", "metrics.web_config"} {
		if !slices.Contains(restart, name) {
			t.Errorf("%s does not need a restart", name)
		}
	}
	if diff := cmp.Diff(parse(t, nil), before, sameConfig); diff != "" {
		t.Errorf("the configuration in force was changed: %s", diff)
	}
	// What needs a restart is named again, what was applied is not.
	if _, applied, again := now.Reload(next); len(applied) > 0 || !slices.Equal(again, restart) {
		t.Errorf("the second time %q was applied, and %q needs a restart", applied, again)
	}
	if _, applied, restart := now.Reload(now); len(applied)+len(restart) > 0 {
		t.Errorf("without a change: %q, %q", applied, restart)
	}
	if got := strings.Join(before.Changed(now), " "); got != strings.Join(want, " ") {
		t.Errorf("changed: %s", got)
	}
}
