// Package zonedir reads and writes a zone's directory. It trusts no content, and its
// readers never see a partly written file:
//
//	config.json   the arguments and results of Create; exists until Delete
//	root/         the server's working directory; exists while the zone is installed
//	boot.json     the process tree that was booted last
//	exit.json     how the server of that boot ended, once it has
//	log/          the server's log, see LogFile
//
// A zone's state follows from which files exist and is not recorded. Nothing is synced
// to the disk: the files must survive the agent, but not the host. After a crash of the
// host no process of any zone is left, and an unreadable file makes the zone
// Incomplete, which is removed like any other.
//
// Processes, cgroups and decisions about zones do not belong here.
package zonedir
