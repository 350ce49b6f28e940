// Package zonedir says what a zone's directory holds, reads it without trust
// and writes it so that no reader ever sees half a file:
//
//	config.json   what Create was asked for and gave: there until Delete
//	root/         the server's working directory: there while the zone is installed
//	boot.json     which process tree was booted last
//	exit.json     how the server of that boot ended, once it has
//	log/          the server's log, see LogFile
//
// Which state a zone is in follows from what is there, never from a word that
// somebody wrote down. Nothing is synced to the disk: the files must survive
// the agent's death and need not survive the host's, after which no process of
// any zone is left and whatever is unreadable makes the zone Incomplete, which
// is removed like any other.
//
// What must not live here: processes, cgroups, and decisions about zones.
package zonedir
