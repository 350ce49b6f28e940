// Package cli is sledctl's commands: they ask the agent's admin API or play
// Nexus towards its sled API, and print what view makes of the answers. What
// must not live here: drawing (view), HTTP (admin.Client, sledapi) and opinions
// about VMMs.
//
// Every command reads its surroundings from an Env, so that tests run the very
// commands in their own process. What a command prints with -o json is what the
// API answered; scripts may rely on it and on the exit codes below.
package cli
