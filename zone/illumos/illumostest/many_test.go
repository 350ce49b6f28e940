package illumostest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Fifty zones live and die at the same time while somebody keeps listing them.
func TestManyZones(t *testing.T) {
	const zones = 50
	h := install(t, Options{})
	done := make(chan struct{})
	var lists sync.WaitGroup
	lists.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			r := h.Run("zoneadm", "list", "-cip")
			for line := range strings.Lines(r.Out) {
				if r.Exit != 0 || strings.Count(line, ":") != 6 {
					t.Errorf("list: exit %d, line %q", r.Exit, line)
				}
			}
		}
	})
	var lives sync.WaitGroup
	for n := range zones {
		lives.Go(func() { h.live(t, fmt.Sprintf("oxz_%d", n), fmt.Sprintf("oxControlInstance%d", n)) })
	}
	lives.Wait()
	close(done)
	lists.Wait()
	if zones, links := h.Zones(), h.Links(); len(zones) != 0 || len(links) != 2 {
		t.Errorf("left: %d zones, links %v", len(zones), slices.Collect(maps.Keys(links)))
	}
	if left := h.Processes(""); len(left) > 0 {
		h.Eventually("zoneadmds of zones that are gone end", func() bool { return len(h.Processes("")) == 0 })
	}
}

// live is the whole life of a zone.
func (h *Host) live(t *testing.T, zone, link string) {
	run := func(name string, args ...string) bool {
		r := h.Run(name, args...)
		if r.Exit != 0 {
			t.Errorf("%s %s: exit %d, %s", name, strings.Join(args, " "), r.Exit, r.ErrOut)
		}
		return r.Exit == 0
	}
	config := "create -b; set brand=omicron1; set zonepath=" + h.ZoneRoot() + "/" + zone +
		"; set ip-type=exclusive; add net; set physical=" + link + "; end"
	ok := run("dladm", "create-vnic", "-t", "-l", "underlay_stub0", link) &&
		run("zonecfg", "-z", zone, config) &&
		run("zoneadm", "-z", zone, "install", h.Images()[0]) &&
		run("zoneadm", "-z", zone, "boot") &&
		run("zoneadm", "-z", zone, "halt") &&
		run("zoneadm", "-z", zone, "uninstall", "-F") &&
		run("zonecfg", "-z", zone, "delete", "-F") &&
		run("dladm", "delete-vnic", link) &&
		run("zfs", "destroy", "rpool/zones/"+zone)
	if !ok {
		t.Errorf("zone %s did not live its life", zone)
	}
}

// Commands on one zone at once: one of each pair wins, nothing is torn.
func TestOneZoneAtOnce(t *testing.T) {
	h := install(t, Options{})
	script := h.script(head)
	var wg sync.WaitGroup
	exits := make([]int, 8)
	for n := range exits {
		wg.Go(func() { exits[n] = h.Run("zonecfg", "-z", "z", "-f", script).Exit })
	}
	wg.Wait()
	if n := slices.Collect(maps.Keys(count(exits))); len(n) > 2 || count(exits)[0] != 1 {
		t.Errorf("exits of simultaneous creations: %v", exits)
	}
	h.bring("z", "")
	h.installed("z", "ox0")
	for n := range exits {
		wg.Go(func() { exits[n] = h.Run("zoneadm", "-z", "z", "boot").Exit })
	}
	wg.Wait()
	if count(exits)[0] != len(exits) || h.State("z") != "running" {
		t.Errorf("exits of simultaneous boots: %v; the zone is %s", exits, h.State("z"))
	}
	for n := range exits {
		wg.Go(func() { exits[n] = h.Run("zoneadm", "-z", "z", "halt").Exit })
	}
	wg.Wait()
	if count(exits)[0] != len(exits) || h.State("z") != "installed" {
		t.Errorf("exits of simultaneous halts: %v; the zone is %s", exits, h.State("z"))
	}
}

func count(exits []int) map[int]int {
	n := make(map[int]int)
	for _, exit := range exits {
		n[exit]++
	}
	return n
}
