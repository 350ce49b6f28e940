// Package sim is a simulated Propolis server: the real API, version 6.0.0 (or 5 or 7), for
// a VM that is only a state. cmd/propolis-sim serves it as a program. Tests use it in
// process, even thousands at a time, and in testing/synctest bubbles.
//
// The API is that of package server. Here are its Machine, which plays a script of steps
// (scripts.go) with one timer and no goroutine, and the faults. There is no disk, no guest
// and no migration source.
//
// Faults are a value (Faults), given at the start (Options) and replaced at any time
// (Server.SetFaults, PUT /sim/faults). What a real VM does by itself is an action
// (Server.Do, POST /sim/do/ACTION). Modes and Actions list both; "propolis-sim modes"
// prints them. GET /sim/state shows the current state, and counts the monitors that are
// pending. Paths below /sim/ need no api-version, and no fault affects them.
//
// A call that a fault keeps from being carried out ends with its client. Nothing is logged or
// done to the process while the server's lock is held.
//
// Like package server it must not use the agent's own Propolis client.
package sim
