// Package illumostest gives tests an illumos host on any Unix system: a
// directory of programs called zoneadm, zonecfg, dladm, svcs and so on, that
// keep the state of one host between them. A backend is pointed at
// Host.BinDir and does not notice.
//
//	h := illumostest.Install(t, t.TempDir(), illumostest.Options{
//		Server: []string{"/path/of/propolis-sim", "run", "{addr}"},
//	})
//	halt := h.Inject(illumostest.Fault{Do: illumostest.Stuck, Object: zone, State: "down"})
//	... zones.illumos: command_path = h.BinDir(), zone_root = h.ZoneRoot(), image = h.Images() ...
//	halt.Release()
//
// Booting a zone starts a real server process on the address that the zone's
// SMF profile names, and halting it kills that process and all it started.
// What a zone command is known to do wrong can be asked for with Inject, while
// it runs.
//
// Whoever is no Go test makes such a host with the program, cmd/illumos-standin.
//
// What must not live here: the stand-in itself, which is in internal/standin,
// how a host is made of it, which is in internal/hostdir, and anything that knows
// the backend under test.
package illumostest
