// Package cli implements sledctl's commands. They query the agent's admin API, or act
// as Nexus towards its sled API, and print the answers with package view. Drawing
// belongs to view, HTTP to admin.Client and api.Client, and judgments about VMMs to
// package admin.
//
// Commands get their environment from an Env, so that tests can run them in process.
// The output of -o json is the API's answer; output.go prints all formats. Scripts may rely on it and on the exit
// codes.
package cli
