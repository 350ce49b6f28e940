// Package config reads, checks and prints the agent's configuration file.
//
// The file is TOML. Every key has a default, so an empty file is valid. Unknown keys,
// values of the wrong type and invalid values are errors. All errors are reported, each
// in one line that names the file, the key and the reason. The result of Parse and Load
// is complete and valid: callers need not check for missing values or parse text.
//
// The table (*Config).keys has every key with its rule; default.toml has the defaults and
// meanings. Reading, printing and the table in the guide are derived from them.
//
// The package does not handle flags, the environment, properties of the host (whether a
// path exists, which backend fits, whether the log is on a terminal) or reloading. Only
// commands import it; they pass each part of the agent what it needs.
package config
