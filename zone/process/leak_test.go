//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// Not parallel: it counts descriptors and goroutines of the whole process.
func TestNothingLeaks(t *testing.T) {
	m := newManager(t, "sleep")
	round := func(name string) {
		running(t, m, name)
		m.Watch(name, func(zone.End) {})()
		done := watch(m, name)
		remove(t, m, name)
		<-done
		create(t, m, name)
		argv := m.cfg.Argv
		m.cfg.Argv = []string{"/no/such/server"}
		if err := m.Boot(ctxFor(t), name); err == nil {
			t.Fatal("Boot succeeded")
		}
		m.cfg.Argv = argv
		remove(t, m, name)
	}
	round(prefix + "warm")
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	for i := range 10 {
		round(fmt.Sprintf("%sleak-%d", prefix, i))
	}
	eventually(t, "descriptors to be closed", func() bool { return descriptors(t) <= fds })
	eventually(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	m.mu.Lock()
	if len(m.trees)+len(m.recalled) > 0 {
		t.Errorf("trees %v, recalled %v", m.trees, m.recalled)
	}
	m.mu.Unlock()
	if entries, err := os.ReadDir(m.dir); err != nil || len(entries) > 0 {
		t.Errorf("left in %s: %v, %v", m.dir, entries, err)
	}
	groups, _ := filepath.Glob(filepath.Join(m.iso.cgroups, groupPrefix(m.dir)+"*"))
	if m.iso.cgroups != "" && len(groups) > 0 {
		t.Errorf("left: %v", groups)
	}
}

func TestOneDescriptorForEachZone(t *testing.T) {
	m := newManager(t, "sleep")
	running(t, m, prefix+"fd-first") // for the sockets of helpers
	before := descriptors(t)
	for i := range 5 {
		running(t, m, fmt.Sprintf("%sfd-%d", prefix, i))
	}
	for i := range 5 {
		m.Watch(fmt.Sprintf("%sfd-%d", prefix, i), func(zone.End) {})
	}
	if n := descriptors(t) - before; n > 5 {
		t.Errorf("5 zones hold %d descriptors", n)
	}
}

// The server gets the standard streams, an empty directory and an environment without
// the agent's own variables.
func TestWhatTheServerGets(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/agent")
	t.Setenv("FOR_SERVERS", "too")
	m := newManager(t)
	m.cfg.Argv = []string{"sh", "-c", "ls -A; ls /proc/self/fd; env; echo $0 $1 $2 $3; ps -o sid= -p $$; echo done", "{ip}", "{port}", "{zone}", "{addr}"}
	name := prefix + "env"
	boot(t, m, name)
	<-watch(m, name)
	out, err := m.Tail(ctxFor(t), name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if !strings.HasPrefix(text, "0\n1\n2\n3\n") { // 3 is ls's own
		t.Errorf("descriptors or files:\n%s", text)
	}
	for variable, want := range map[string]bool{"NOTIFY_SOCKET": false, "FOR_SERVERS=too": true,
		"SLED_ZONE=" + m.zoneDir(name): true, "::1 12400 " + name + " [::1]:12400": true} {
		if strings.Contains(text, variable) != want {
			t.Errorf("%q in it: want %v\n%s", variable, want, text)
		}
	}
}

func TestLogIsCapped(t *testing.T) {
	t.Parallel()
	m := newManager(t, "fill=20000", "exit=0")
	m.cfg.LogMax = 4096
	name := prefix + "talk"
	boot(t, m, name)
	<-watch(m, name)
	kept := int64(0)
	logs, _ := filepath.Glob(filepath.Join(m.zoneDir(name), "log", "*"))
	for _, log := range logs {
		st, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		kept += st.Size()
	}
	if kept > 4096 || kept < 2048 || len(logs) != 2 {
		t.Errorf("%d bytes are kept in %v", kept, logs)
	}
	tail, err := m.Tail(ctxFor(t), name, 2048)
	if err != nil || len(tail) != 2048 || !strings.HasSuffix(string(tail), "line 019999 of a talkative server\n") {
		t.Errorf("tail of %d bytes, %v:\n%s", len(tail), err, tail)
	}
}
