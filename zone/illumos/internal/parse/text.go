package parse

import "strings"

// ServiceState parses the output of svcprop -p restarter/state: one state, such as
// online or maintenance. It returns "" for any other output.
func ServiceState(out []byte) string {
	fields := strings.Fields(string(out))
	if len(fields) != 1 {
		return ""
	}
	return fields[0]
}

// A ServiceView is the state of one service as svcs prints it.
type ServiceView struct {
	// Next is the state to which the service is changing; "-" if it is not changing.
	State, Next string
	// Processes is the number of processes in its contract.
	Processes int
}

// Service parses the output of svcs -p -H -o state,nstate for one instance: a line
// for the service, and one for each of its processes.
func Service(out []byte) (s ServiceView, ok bool) {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	fields := strings.Fields(lines[0])
	if len(fields) != 2 || strings.Contains(fields[0], "*") {
		return ServiceView{}, false
	}
	return ServiceView{State: fields[0], Next: fields[1], Processes: len(lines) - 1}, true
}

// Dataset parses the output of zfs list -H -o name,mountpoint for one path.
func Dataset(out []byte) (name, mountpoint string, ok bool) {
	line := strings.TrimRight(string(out), "\n")
	name, mountpoint, ok = strings.Cut(line, "\t")
	if !ok || name == "" || strings.ContainsAny(mountpoint, "\t\n") {
		return "", "", false
	}
	return name, mountpoint, true
}
