// Package zone defines zones for the agent: their names, their states, the
// Manager interface that a backend implements, the removal plan and EnsureGone.
//
// A zone holds one Propolis server and every process that the server started.
// Create makes a zone, Boot starts it and a removal ends it. A removal depends on
// the zone's state alone: EnsureGone looks at what exists, takes the steps that
// the state allows (Plan) and looks again, until nothing exists. It needs only the
// zone's name, so it works from any half-made state. Absence is success.
//
// The backends are zone/process and zone/illumos. zone/zonetest is an in-memory
// backend with faults on demand. Nothing that knows a VMM's state, Propolis or
// Nexus belongs here. This package imports no other package of the module.
package zone
