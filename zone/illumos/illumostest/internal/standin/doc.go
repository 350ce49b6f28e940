// Package standin simulates an illumos host as far as its zone commands show it: the
// programs zoneadm, zonecfg, dladm, ipadm, opteadm, svcs, svcprop, zfs, pkill
// and pgrep, and a zone's zoneadmd, its init and its one service.
//
//	zoneadm, zonecfg, ...   real processes, one per call; state in files
//	zoneadmd                a real process per zone, in a session of its own
//	init, svc.startd        one real process per running zone
//	propolis-server         a real process, started from the zone's SMF profile
//	kernel                  the zone's state in its file, changed by zoneadmd
//	datalinks, datasets     entries in files
//
// Each state file is replaced atomically, under one lock that is held only for the
// change. So any number of commands may run at once, and any of them may be killed
// at any point.
//
// Messages and exit statuses are those of illumos where they are known. A command
// accepts the arguments that the backend, the tests and the demo use, and prints its
// usage for others. The package must not contain anything of the backend. A failure
// of the stand-in itself, such as a full disk or a removed state directory, is not
// simulated: the process prints it and exits with status 125.
package standin
