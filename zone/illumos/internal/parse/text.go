package parse

import "strings"

// ServiceState reads the output of svcprop -p restarter/state: one word, such as
// online or maintenance; empty if there is none.
func ServiceState(out []byte) string {
	fields := strings.Fields(string(out))
	if len(fields) != 1 {
		return ""
	}
	return fields[0]
}

// Dataset reads the output of zfs list -H -o name,mountpoint for one path.
func Dataset(out []byte) (name, mountpoint string, ok bool) {
	line := strings.TrimRight(string(out), "\n")
	name, mountpoint, ok = strings.Cut(line, "\t")
	if !ok || name == "" || strings.ContainsAny(mountpoint, "\t\n") {
		return "", "", false
	}
	return name, mountpoint, true
}
