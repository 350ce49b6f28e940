//go:build !linux

package standin

// Processes returns those processes of the zone that are known by number. For
// "" it is those of all zones.
func (s *Store) Processes(zone string) (pids []int) {
	if zone != "" {
		return s.recorded(zone)
	}
	for name := range s.Zones.All() {
		pids = append(pids, s.recorded(name)...)
	}
	return pids
}

// adoptOrphans does nothing: only Linux lets a process adopt.
func adoptOrphans() {}

// recorded are those of the zone's processes that its file tells of.
func (s *Store) recorded(zone string) (pids []int) {
	z, ok := s.Zones.Get(zone)
	if !ok {
		return nil
	}
	for _, pid := range []int{z.InitPID, z.ServerPID} {
		if pid != 0 && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
