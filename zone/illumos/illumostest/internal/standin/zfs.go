package standin

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// zfs is zfs(8) for filesystems: list, create, destroy.
func zfs(c *call) int {
	if len(c.args) == 0 {
		return c.usage("missing command")
	}
	set, values, names := flags(c.args[1:], "ot")
	switch c.verb {
	case "list":
		return c.listDatasets(names, strings.Join(values['o'], ","), set['H'], set['r'])
	case "create":
		return c.createDataset(names, values['o'])
	case "destroy":
		return c.destroyDataset(names, set['r'] || set['R'])
	}
	return c.usage("unrecognized command '%s'", c.verb)
}

func (c *call) listDatasets(names []string, fields string, bare, recursive bool) int {
	if fields == "" {
		fields = "name,mountpoint"
	}
	columns := strings.Split(fields, ",")
	if !bare {
		c.print("%s", strings.ToUpper(strings.Join(columns, "\t")))
	}
	all := c.Datasets.All()
	exit := 0
	for i, name := range names {
		if strings.HasPrefix(name, "/") {
			names[i] = c.datasetOf(name)
		}
		if all[names[i]] == nil {
			exit = c.complain("cannot open '%s': dataset does not exist", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		chosen := func(want string) bool { return name == want || recursive && strings.HasPrefix(name, want+"/") }
		if len(names) > 0 && !slices.ContainsFunc(names, chosen) {
			continue
		}
		var row []string
		for _, column := range columns {
			value, known := map[string]string{"name": name, "mountpoint": all[name].Mountpoint, "used": "96K", "avail": "1T",
				"refer": "96K", "type": "filesystem", "mounted": "yes", "zoned": "off"}[column]
			if !known {
				return c.usage("bad property list: invalid property '%s'", column)
			}
			row = append(row, value)
		}
		c.print("%s", strings.Join(row, "\t"))
	}
	return exit
}

// datasetOf returns the dataset that a path is in.
func (s *Store) datasetOf(path string) string {
	best := &Dataset{}
	for _, d := range s.Datasets.All() {
		if strings.HasPrefix(path+"/", d.Mountpoint+"/") && len(d.Mountpoint) > len(best.Mountpoint) {
			best = d
		}
	}
	return best.Name
}

func (c *call) createDataset(names, properties []string) int {
	if len(names) != 1 {
		return c.usage("missing filesystem argument")
	}
	d := &Dataset{Name: names[0]}
	for _, p := range properties {
		if path, ok := strings.CutPrefix(p, "mountpoint="); ok {
			d.Mountpoint = path
		}
	}
	problem := ""
	c.Locked(func() {
		parent, ok := c.Datasets.Get(filepath.Dir(d.Name))
		_, exists := c.Datasets.Get(d.Name)
		switch {
		case !ok:
			problem = "parent does not exist"
		case exists:
			problem = "dataset already exists"
		default:
			if d.Mountpoint == "" {
				d.Mountpoint = filepath.Join(parent.Mountpoint, filepath.Base(d.Name))
			}
			check(os.MkdirAll(d.Mountpoint, 0o755))
			c.Datasets.put(d.Name, d)
		}
	})
	if problem != "" {
		return c.complain("cannot create '%s': %s", d.Name, problem)
	}
	return 0
}

func (c *call) destroyDataset(names []string, recursive bool) int {
	if len(names) != 1 {
		return c.usage("missing dataset argument")
	}
	problem := ""
	var gone []*Dataset
	c.Locked(func() {
		all := c.Datasets.All()
		if all[names[0]] == nil {
			problem = "cannot open '%s': dataset does not exist"
			return
		}
		for name, d := range all {
			if name == names[0] || strings.HasPrefix(name, names[0]+"/") {
				gone = append(gone, d)
			}
			if strings.HasPrefix(name, names[0]+"/") && !recursive {
				problem = "cannot destroy '%s': filesystem has children"
			}
		}
		if problem == "" && slices.ContainsFunc(gone, c.datasetBusy) {
			problem = "cannot destroy '%s': dataset is busy"
		}
		for _, d := range gone {
			if problem == "" {
				c.Datasets.drop(d.Name)
			}
		}
	})
	if problem != "" {
		return c.complain(problem, names[0])
	}
	for _, d := range gone {
		check(os.RemoveAll(d.Mountpoint))
	}
	return 0
}

// datasetBusy: an active zone has its root in it.
func (c *call) datasetBusy(d *Dataset) bool {
	for _, z := range c.Zones.All() {
		if z.Active() && z.Config.Zonepath == d.Mountpoint {
			return true
		}
	}
	return false
}
