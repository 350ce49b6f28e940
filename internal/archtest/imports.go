package archtest

import (
	"slices"
	"strings"
)

// imports checks who imports whom.
func imports(f *file) []string {
	var broken []string
	for _, imp := range f.imports() {
		reason := ""
		if imp.local != "" {
			reason = whyNotOurs(f, imp.local)
		}
		if reason == "" && f.dir() == "agent/vmm" && !f.forTests() {
			reason = whyNotPure(imp)
		}
		if reason != "" {
			broken = append(broken, imp.at+": imports "+imp.path+": "+reason)
		}
	}
	return broken
}

// islands import nothing of the module; what lies below one of them may import
// it and what lies beside.
var islands = []string{"agent/vmm", "zone", "propolis", "watchdog", "config"}

// whyNotOurs tells why the file must not import the package of the module at
// local; empty if it may.
func whyNotOurs(f *file, local string) string {
	dir := f.dir()
	switch {
	case within(local, "cmd") && !within(dir, ownCommand(local)):
		return "nobody imports a command"
	case local == "config" && !within(dir, "cmd") && dir != "config":
		return "only commands import config; pass on the values that are needed"
	case f.forTests():
		return ""
	case strings.HasSuffix(local, "test"):
		return "what exists for tests stays in tests"
	case within(local, "propolis/sim") && dir != "cmd/propolis-sim" && dir != "propolis/sim":
		return "the simulator is for tests and for cmd/propolis-sim"
	}
	for _, island := range islands {
		if dir == island || within(dir, island) && !within(local, island) {
			return island + " imports nothing else of the module"
		}
	}
	return whyNotInAgent(dir, local)
}

// whyNotInAgent holds the rules for what lies below agent.
func whyNotInAgent(dir, local string) string {
	switch {
	case !within(dir, "agent"):
		return ""
	case within(local, "zone") && local != "zone":
		return "commands choose the zone backend; the agent sees zone.Manager"
	case (within(dir, "agent/api") || within(dir, "agent/admin")) && (local == "agent" || local == "agent/runner"):
		return "the APIs see the agent through interfaces of their own"
	}
	return ""
}

// within tells whether dir is root or lies below it.
func within(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

// ownCommand returns the command that a package below cmd belongs to.
func ownCommand(local string) string {
	parts := strings.SplitN(local, "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

// impure are the standard packages, with what lies below them, that reach
// outside of the process, read what differs from run to run, or schedule.
var impure = []string{"archive", "context", "crypto/rand", "crypto/tls", "crypto/x509", "database", "debug", "expvar",
	"flag", "go", "html/template", "io/fs", "io/ioutil", "log", "math/rand", "mime", "net", "os", "path/filepath", "plugin",
	"runtime", "sync", "syscall", "testing", "text/template", "unsafe"}

// pure are exceptions from impure, without what lies below them.
var pure = []string{"net/netip", "net/url"}

// whyNotPure tells why a package has no place in the state machine.
func whyNotPure(imp importing) string {
	switch first, _, _ := strings.Cut(imp.path, "/"); {
	case slices.Contains(pure, imp.path), imp.path == "github.com/google/uuid":
		return ""
	case strings.Contains(first, "."):
		return "the state machine uses nothing but the standard library and uuid"
	case slices.ContainsFunc(impure, func(p string) bool { return within(imp.path, p) }):
		return "the state machine is a function: it does no I/O and depends on its arguments alone"
	}
	return ""
}
