// Package ledger stores what a restarted agent needs to know of its VMMs. An entry is
// durable before its effects are visible outside the agent.
//
//	ledger.db        states of VMMs, in the format of line.go: phase, record, stop,
//	                 deadline, zone, identity (see stateDoc)
//	registrations/   registrations of VMMs, several in each file
//	ended.db         VMMs that have ended, in the format of ledger.db
//
// States are small. Registrations are stored apart because one may take a megabyte.
// States reads all states first, so that deadlines are armed at once. Registration
// reads one registration on demand.
//
// A deadline is stored as a time on the host's boot clock, so that neither a step of
// the wall clock nor a restart of the agent moves it. It is restored in any boot, never
// further away than its maximum when it was armed (see longest). The boot id is stored
// with it: an entry is from another boot only if both ids are known and comparable.
// Wall-clock times are informational.
//
// Save returns at once. One goroutine writes, and everything saved during a transaction
// goes into the next one and shares its sync. A failed write is retried while the ledger
// is open. Each waiting caller receives the error and decides whether to continue.
// Trouble reports whether anything is not on disk.
//
// Drop stores the last Status of a VMM, with limits on age (Options.KeepEnded) and
// number. Nothing depends on these: damaged ones are left out.
//
// A damaged ledger is rewritten from what can be read, and the damaged file is kept.
// Lost reports the damage until an operator settles or repairs the ledger.
//
// The schema is versioned, and tests read a stored ledger of each version. An older one
// is upgraded at the start. A newer one, and a file that is not a ledger, are refused
// and not changed. Members that were added to schema 3 later (the networking, the time of a
// soft stop, the grace of a reboot) are lost once an older agent has saved the VMM: it keeps
// its deadlines, at most shorter, and its networking is as if it were registered without any.
//
// The package makes no decisions about VMMs.
package ledger
