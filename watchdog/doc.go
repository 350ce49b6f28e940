// Package watchdog keeps the agent's headline promise: a removal begins when
// its deadline has passed, whatever else is broken. It holds the deadlines of
// all VMMs in one timer structure. When some pass at one moment, it sends the
// kills of all of them in one pass, and then begins their removals; it asks
// and waits for no other part of the agent, and reports to each VMM's owner afterwards. One
// goroutine waits for deadlines; each removal has its own.
//
// Removals of one target are numbered and never overlap, so that an owner can
// tell which one has ended, and can ask for one that begins after something
// that he knows of.
//
// What is removed and how is the Target's business. This package knows neither
// zones nor Propolis nor Nexus, and it imports nothing else of the module:
// a defect in those packages cannot move a deadline.
package watchdog
