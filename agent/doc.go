// Package agent holds the table of this sled's VMMs: who is admitted, who is
// found, what is told about all of them. It makes the parts of the agent work
// together and decides nothing about a VMM's state; each VMM has a runner of
// its own for that.
//
// The table's lock guards the map alone and is never held while anything is
// waited for, so that no VMM can stand in another's way.
package agent
