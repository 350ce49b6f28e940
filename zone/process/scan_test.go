//go:build linux

package process

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// A process that cannot be looked into may be of the zone, unless its age, its session
// or its ancestors prove that it is not.
func TestHiddenProcesses(t *testing.T) {
	t.Parallel()
	hidden := fmt.Errorf("look: %w", proc.ErrHidden)
	at := func(pid, ppid, session int, start uint64) proc.Info {
		return proc.Info{ID: proc.ID{PID: pid, Start: start}, PPID: ppid, Session: session, State: 'S', Threads: 1}
	}
	first, shell := hostProcess{Info: at(1, 0, 1, 1)}, hostProcess{Info: at(50, 1, 50, 40)}
	browser := hostProcess{Info: at(300, 1, 300, 140), seen: true}
	setuid := hostProcess{Info: at(310, 1, 310, 140)}
	other := hostProcess{Info: at(200, 1, 200, 120), init: "/z/other", mark: "/z/other", seen: true}
	init := proc.ID{PID: 100, Start: 100}
	for what, c := range map[string]struct {
		boot   zonedir.Boot
		hides  proc.Info
		unsure bool
	}{
		"orphan":                     {zonedir.Boot{Init: init}, at(400, 1, 400, 150), true},
		"orphan of the same tick":    {zonedir.Boot{Init: init}, at(400, 1, 400, 100), true},
		"child of an older process":  {zonedir.Boot{Init: init}, at(400, 50, 400, 150), true},
		"older":                      {zonedir.Boot{Init: init}, at(40, 1, 40, 99), false},
		"in an older session":        {zonedir.Boot{Init: init}, at(400, 50, 50, 150), false},
		"below a newer, seen one":    {zonedir.Boot{Init: init}, at(400, 300, 400, 150), false},
		"below another zone's init":  {zonedir.Boot{Init: init}, at(400, 200, 400, 150), false},
		"below an unseen one":        {zonedir.Boot{Init: init}, at(400, 310, 400, 150), true},
		"zone in a namespace":        {zonedir.Boot{Init: init, PIDNS: true}, at(400, 1, 400, 150), false},
		"zone that never ran":        {zonedir.Boot{}, at(400, 1, 400, 150), false},
		"parent that cannot be seen": {zonedir.Boot{Init: init}, at(400, 399, 400, 150), true},
	} {
		ps := processes{boot: c.boot, own: func(path string) (bool, error) { return path == "/z/this", nil }}
		all := []hostProcess{first, shell, browser, setuid, other, {Info: c.hides, hidden: hidden}}
		err := ps.findIn(all, map[proc.ID]bool{})
		if (err != nil) != c.unsure || err != nil && !errors.Is(err, proc.ErrHidden) {
			t.Errorf("%s: %v", what, err)
		}
		if ps.running || ps.rest != "" {
			t.Errorf("%s: %+v", what, ps)
		}
	}
}
