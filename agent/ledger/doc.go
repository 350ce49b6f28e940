// Package ledger keeps what a restart of the agent needs of its VMMs, in one
// bbolt file. It is written before anything becomes visible outside.
//
//	ledger.db
//	  meta
//	    schema          "1": the version of all that follows
//	  vmms
//	    <propolis id>   one bucket per VMM
//	      registration  JSON: what it was registered with, written once
//	      state         JSON: phase, record, stop, deadline, zone, what Nexus has
//	                    acknowledged, how far the removal has come (see stateDoc)
//
// Behind each value is a line with its checksum (see seal).
//
// A deadline is kept as a time on the host's boot clock together with the boot
// id, so that neither a step of the wall clock nor a restart of the agent moves
// it, and so that a deadline of another boot is known as such. Wall-clock times
// are kept for people only.
//
// Save returns at once. One goroutine writes: whatever VMMs have to save while
// it is busy shares its next transaction, and so one sync. What cannot be
// written is tried again for as long as the ledger is open; whoever waits for it
// is told, and decides for himself whether to go on without.
//
// The schema has a version. An older one is brought up to date by the migrations
// in migrate.go, in order, each with a test on a kept file of its version. A
// newer one, or a file that is damaged, is refused and not touched.
//
// What must not live here: decisions about VMMs.
package ledger
