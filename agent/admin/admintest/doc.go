// Package admintest is an agent for tests of clients of agent/admin: a table of VMMs
// that the test fills.
package admintest
