// Package config reads the agent's configuration file.
//
// The file is TOML. Every key has a default, so an empty file is a valid one. A
// key that does not exist, a value of the wrong kind and a value that cannot
// work are errors, and each error is one line that names the file, the key and
// the reason. What Parse and Load return is complete and valid: nobody after
// them has to look for a missing value or to parse text again.
//
// There is one table of keys (fields). Reading, checking and printing all go
// through it, so that a key cannot be read and not printed, or printed in a
// form that is not read.
//
// What does not live here: flags, the environment, looking at the host (whether
// a path exists, which backend fits, whether the log goes to a terminal), and
// reading the file again while the agent runs. Only commands import this
// package; they hand each part of the agent what it needs.
package config
