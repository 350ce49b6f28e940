package propolis

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

const (
	nvmeDisk   = "nvme_disk"
	writeCache = "has_write_cache"
	// writeCacheSince is the first API version with writeCache. Before, every disk had a
	// write cache.
	writeCacheSince = 6
)

// fitWriteCaches returns spec with the has_write_cache of its NVMe disks as an API version
// requires it: there or not. Every other byte stays unchanged. A spec that cannot be read
// does too: Propolis says what is wrong with it.
func fitWriteCaches(spec json.RawMessage, version string) json.RawMessage {
	components, err := componentsOf(spec)
	if err != nil {
		return spec
	}
	first, _, _ := strings.Cut(version, ".")
	major, _ := strconv.Atoi(first)
	out, copied := make(json.RawMessage, 0, len(spec)), 0
	for _, c := range components {
		if c.kind != nvmeDisk {
			continue
		}
		disk, err := members(spec, c.body)
		if err != nil {
			return spec
		}
		at := slices.IndexFunc(disk, func(m member) bool { return m.key == writeCache })
		switch has := major >= writeCacheSince; {
		case has && at < 0 && len(disk) > 0:
			out = append(append(out, spec[copied:disk[0].start]...), `"`+writeCache+`":true,`...)
			copied = disk[0].start
		case !has && at >= 0:
			cut := memberSpan(disk, at)
			out = append(out, spec[copied:cut.start]...)
			copied = cut.end
		}
	}
	return append(out, spec[copied:]...)
}

// memberSpan returns the part of an object to remove with a member: its comma too.
func memberSpan(object []member, i int) span {
	switch {
	case i+1 < len(object):
		return span{object[i].start, object[i+1].start}
	case i > 0:
		return span{object[i-1].value.end, object[i].value.end}
	}
	return span{object[i].start, object[i].value.end}
}
