// Package trial is what the suites that try the real agent share: they build the
// programs under test, run many tests at once, wait for what must come, and tell
// what the agent was late with from what the machine was.
//
// What must not live here: anything about VMMs, zones, Nexus or the agent's API.
// What a suite starts and what it checks is its own.
package trial
