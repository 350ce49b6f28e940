// Package hostdir makes a host of the stand-in in a directory, and takes it down.
//
//	DIR/bin      the program, by its own name and by that of each command
//	DIR/state    what the host is made of, see package standin
//	DIR/zones    the dataset for zonepaths
//	DIR/images   what zoneadm install takes
//
// It serves the tests' Host and the program alike, so it knows of no test. What
// must not live here: what a command answers, and where the program comes from.
package hostdir
