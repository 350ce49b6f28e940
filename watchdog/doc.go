// Package watchdog keeps the agent's headline promise: a removal begins when
// its deadline has passed, whatever else is broken. It holds the deadlines of
// all VMMs in one timer structure, and when one passes it begins the removal
// itself: it asks nobody, it waits for nobody, and it tells the VMM's owner
// afterwards. One goroutine waits for deadlines; each removal has its own.
//
// What is removed and how is the Target's business. This package knows neither
// zones nor Propolis nor Nexus, and it imports nothing else of the module:
// whatever those packages do wrong, the deadline stands.
package watchdog
