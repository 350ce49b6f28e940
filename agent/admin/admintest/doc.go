// Package admintest is an agent for tests of what talks to agent/admin: a table
// of VMMs that its test fills by hand. Nothing in it decides anything.
package admintest
