//go:build !linux

package standin

// Processes returns the inits and servers of a zone, or of all zones if zone is empty.
func (s *Store) Processes(zone string) (pids []int) {
	for name, z := range s.Zones.All() {
		for _, pid := range []int{z.InitPID, z.ServerPID} {
			if (zone == "" || zone == name) && pid != 0 && alive(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// These need /proc or prctl of Linux.
func running(string) []int   { return nil }
func processName(int) string { return "" }
func adoptOrphans()          {}
