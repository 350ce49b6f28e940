// Package zone says what a zone is to the agent: its names, its states, the
// Manager that a backend implements, the removal plan and EnsureGone.
//
// A zone holds one Propolis server and everything that server started. It is
// made by Create, started by Boot and ends by removal. Removal is driven by
// state, not by memory: EnsureGone looks at what exists, takes the steps that
// this allows (Plan) and looks again, until nothing exists. It needs only the
// zone's name, so it works from any half-made state, and absence is success.
//
// Backends live below this package (zone/process, zone/illumos); zone/zonetest
// is an in-memory one with faults on demand. What must not live here: anything
// that knows a VMM's state, Propolis or Nexus. This package imports nothing
// else of the module.
package zone
