package standin

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// A stat is one statistic of the kernel.
type stat struct {
	module   string
	instance int
	name     string
	stat     string
	value    string
}

// kstat is kstat(8) with -p.
func kstat(c *call) int {
	set, values, patterns := flags(c.args, "minsT")
	if !set['p'] {
		return c.usage("only parsable output (-p) is known here")
	}
	if len(patterns) == 0 {
		first := func(letter byte) string { return strings.Join(values[letter], "") }
		patterns = []string{first('m') + ":" + first('i') + ":" + first('n') + ":" + first('s')}
	}
	found := false
	for _, s := range c.statistics() {
		parts := []string{s.module, fmt.Sprint(s.instance), s.name, s.stat}
		if slices.ContainsFunc(patterns, func(p string) bool { return matchStat(p, parts) }) {
			found = true
			c.print("%s\t%s", strings.Join(parts, ":"), s.value)
		}
	}
	if !found {
		return 1
	}
	return 0
}

// matchStat compares module:instance:name:statistic; an empty part is any.
func matchStat(pattern string, parts []string) bool {
	for i, want := range strings.Split(pattern, ":") {
		if i >= len(parts) {
			return false
		}
		if ok, err := path.Match(want, parts[i]); want != "" && (!ok || err != nil) {
			return false
		}
	}
	return true
}

// kstatNameLength is what KSTAT_STRLEN leaves for a name.
const kstatNameLength = 30

func (c *call) statistics() (all []stat) {
	zones := slices.SortedFunc(maps.Values(c.Zones.All()), func(a, b *Zone) int { return cmp.Compare(a.ID, b.ID) })
	for minor, z := range zones {
		if !z.Active() {
			continue
		}
		up := max(time.Since(z.Booted), 0)
		name := z.Name[:min(len(z.Name), kstatNameLength)]
		add := func(what string, value any) {
			all = append(all, stat{"zones", z.ID, name, what, fmt.Sprint(value)})
		}
		add("boot_time", z.Booted.Unix())
		add("class", "zone_misc")
		add("init_pid", z.InitPID)
		add("nsec_sys", up.Nanoseconds()/20)
		add("nsec_user", up.Nanoseconds()/10)
		add("nsec_waitrq", up.Nanoseconds()/1000)
		add("zonename", z.Name)
		all = append(all, c.vmStatistics(z, minor+1, up)...)
	}
	return append(all, c.linkStatistics()...)
}

func (c *call) vmStatistics(z *Zone, minor int, up time.Duration) (all []stat) {
	vm := c.VM(z.Name)
	if _, err := os.Stat(vm); err != nil {
		return nil
	}
	all = append(all, stat{"vmm", minor, "vm", "vm_name", path.Base(vm)})
	for cpu := range 2 {
		name := fmt.Sprintf("vcpu%d", cpu)
		all = append(all, stat{"vmm", minor, name, "time_idle", fmt.Sprint(up.Nanoseconds() / 2)},
			stat{"vmm", minor, name, "time_run", fmt.Sprint(up.Nanoseconds() / 4)},
			stat{"vmm", minor, name, "vcpu", fmt.Sprint(cpu)})
	}
	return all
}

func (c *call) linkStatistics() (all []stat) {
	links := c.Links.All()
	for _, name := range slices.Sorted(maps.Keys(links)) {
		for n, what := range []string{"ierrors", "ifspeed", "ipackets64", "obytes64", "oerrors", "opackets64", "rbytes64"} {
			all = append(all, stat{"link", 0, name, what, fmt.Sprint(n * len(name))})
		}
	}
	return all
}
