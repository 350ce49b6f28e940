// Package agent holds the table of this sled's VMMs: it admits and finds them, and answers
// questions about all of them. It connects the parts of the agent and makes no decisions
// about a VMM's state; each VMM has a runner for that.
//
// The table's lock guards only the map and is never held while waiting, so that no VMM can
// delay another.
package agent
