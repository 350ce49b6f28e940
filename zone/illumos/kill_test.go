package illumos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone"
)

// killTogether kills zones at once, of which all but the first maxPkills are asked for while
// those are being killed. It returns the zones of each command.
func killTogether(t *testing.T, n int, script string) (commands [][]string) {
	t.Helper()
	h := newScripted(t)
	h.on("pkill-run", fmt.Sprintf(`echo "$3" >>"$dir/pkills"; [ "$(wc -l <"$dir/pkills")" -gt %d ] || await let-go; %s`, maxPkills, script))
	m := h.manager()
	m.pkill.patience = time.Hour
	var all sync.WaitGroup
	names := map[string]bool{}
	kill := func() {
		name := fmt.Sprintf("%skill-%d", testPrefix, len(names))
		names[name] = true
		h.setState(name, zone.Running)
		all.Go(func() {
			if err := m.Remove(bounded(t), zone.RungKill, name); err != nil {
				t.Error(err)
			}
		})
	}
	ran := func() int { return strings.Count(h.read("pkills"), "\n") }
	for len(names) < maxPkills {
		kill()
		h.await("a pkill", func() bool { return ran() == len(names) })
	}
	for len(names) < n {
		kill()
	}
	h.await("all to be asked for", func() bool {
		m.pkill.mu.Lock()
		defer m.pkill.mu.Unlock()
		return len(m.pkill.waiting) == n-maxPkills
	})
	h.write("let-go", "")
	all.Wait()
	for line := range strings.Lines(h.read("pkills")) {
		zones := strings.Split(strings.TrimSpace(line), ",")
		commands = append(commands, zones)
		for _, name := range zones {
			delete(names, name)
		}
	}
	if len(names) > 0 {
		t.Errorf("not killed: %v", names)
	}
	return commands
}

// However many zones are due at once, few commands kill them.
func TestKillsShareCommands(t *testing.T) {
	t.Parallel()
	commands := killTogether(t, maxPkills+150, "exit 0")
	if len(commands) != maxPkills+2 {
		t.Errorf("%d commands were run: %v", len(commands), commands)
	}
}

// A zone that is not active keeps no other from being killed: each is killed by a command
// without it, or by one of its own.
func TestKillAmongEnded(t *testing.T) {
	t.Parallel()
	killed := map[string]bool{}
	for _, zones := range killTogether(t, maxPkills+32, `case ,$3, in *kill-20,*) state `+testPrefix+`kill-20 absent; exit 2;; esac`) {
		if len(zones) == 1 || !strings.Contains(strings.Join(zones, ",")+",", "kill-20,") {
			for _, name := range zones {
				killed[name] = true
			}
		}
	}
	if n := len(killed); n != maxPkills+32 {
		t.Errorf("%d zones were killed", n)
	}
}

// A caller that gives up leaves nothing behind.
func TestKillGivenUp(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.setState(testZone, zone.Running)
	h.on("pkill-run", `touch "$dir/begun.$$"; await let-go`)
	m := h.manager()
	m.pkill.patience = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for n := range maxPkills + 3 {
		all.Go(func() { _ = m.pkill.kill(ctx, testZone) })
		h.await("a command", func() bool { return h.count("begun.*") == min(n+1, maxPkills) })
	}
	cancel()
	all.Wait()
	m.pkill.mu.Lock()
	defer m.pkill.mu.Unlock()
	if n := len(m.pkill.waiting); n > 0 {
		t.Errorf("%d kills are waiting", n)
	}
	h.write("let-go", "")
}

// A command that hangs for some zones costs others a moment: each is killed by one of its own.
func TestHangingKillHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.on("pkill-run", `case $3 in *kill-1*) touch "$dir/hangs.$$"; await let-go;; esac; echo "$3" >>"$dir/pkills"`)
	m := h.manager()
	m.pkill.patience = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var all, hung sync.WaitGroup
	for i := range 2 * maxPkills {
		name := fmt.Sprintf("%skill-1%d", testPrefix, i)
		h.setState(name, zone.Running)
		hung.Go(func() { _ = m.Remove(ctx, zone.RungKill, name) })
	}
	h.await("all commands to hang", func() bool { return h.count("hangs.*") >= maxPkills })
	for i := range 8 {
		name := fmt.Sprintf("%skill-2%d", testPrefix, i)
		h.setState(name, zone.Running)
		all.Go(func() {
			if err := m.Remove(bounded(t), zone.RungKill, name); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if zones := h.read("pkills"); strings.Count(zones, "kill-2") < 8 || strings.Contains(zones, "kill-1") {
		t.Errorf("killed were %s", zones)
	}
	cancel()
	h.write("let-go", "")
	hung.Wait()
}

// Commands that hang are not joined by one for each zone that is due.
func TestHangingKillsAreBounded(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.on("pkill-run", `touch "$dir/hangs.$$"; await let-go`)
	m := h.manager()
	m.pkill.patience = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 3 * (maxPkills + maxAlone) {
		name := fmt.Sprintf("%skill-%d", testPrefix, i)
		h.setState(name, zone.Running)
		all.Go(func() { _ = m.pkill.kill(ctx, name) })
	}
	h.await("commands to hang", func() bool { return len(m.pkill.alone) == maxAlone && h.count("hangs.*") >= maxAlone })
	cancel()
	all.Wait()
	if n := h.count("hangs.*"); n > maxPkills+maxAlone {
		t.Errorf("%d commands were run", n)
	}
	h.write("let-go", "")
}
