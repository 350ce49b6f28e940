// Package illumostest provides a stand-in for an illumos host on any Unix system: a
// directory of programs called zoneadm, zonecfg, dladm, svcs and so on, which share
// the state of one host. A backend uses them through Host.BinDir.
//
//	h := illumostest.Install(t, t.TempDir(), illumostest.Options{
//		Server: []string{"/path/of/propolis-sim", "run", "{addr}"},
//	})
//	halt := h.Inject(illumostest.Fault{Do: illumostest.Stuck, Object: zone, State: "down"})
//	... zones.illumos: command_path = h.BinDir(), zone_root = h.ZoneRoot(), image = h.Images() ...
//	halt.Release()
//
// Booting a zone starts a real server process on the address in the zone's SMF
// profile; halting the zone kills that process and its descendants. Inject adds
// faults that zone commands are known to have.
//
// Programs other than Go tests create such a host with cmd/illumos-standin.
//
// The package must not contain the stand-in itself, which is in internal/standin, or
// anything specific to the backend under test.
package illumostest
