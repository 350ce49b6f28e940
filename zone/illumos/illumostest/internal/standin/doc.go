// Package standin is an illumos host as far as its zone commands show it: the
// programs zoneadm, zonecfg, dladm, ipadm, svcs, svcprop, svcadm, svccfg,
// zlogin, zfs, pkill, pgrep and kstat, and behind them a zone's zoneadmd, its
// init and its one service.
//
// What is simulated and what is real:
//
//	zoneadm, zonecfg, ...   real processes, one a call; state in files
//	zoneadmd                a real process per zone, in a session of its own
//	init, svc.startd        one real process per running zone
//	propolis-server         a real process, started from the zone's SMF profile
//	kernel                  the zone's state in its file, changed by zoneadmd
//	datalinks, datasets     entries in files
//
// The state is files in one directory, each replaced in one step, changed under
// one lock that is held for the change alone. So any number of commands may run
// at once, and any of them may be killed at any instruction.
//
// Messages and exit statuses are those of illumos where they are known. What
// must not live here: anything of the backend under test. Trouble of the
// stand-in's own (a full disk, a state directory that is gone) is no simulated
// failure: it ends the process with status 125 and a text that says so.
package standin
