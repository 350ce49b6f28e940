// Package proc names, watches and kills processes without ever taking one for
// another. A process is known by its pid together with its start time (ID);
// within one boot of the host no two processes share both. Signals go through
// a Handle, which on Linux is a pidfd, so a pid that was used again in the
// meantime is never hit. A zombie counts as ended everywhere.
//
// One Poller notices the end of any number of processes with one goroutine,
// of children and of strangers alike, and reaps the children.
//
// What must not live here: anything that knows a zone, its files or cgroups.
package proc
