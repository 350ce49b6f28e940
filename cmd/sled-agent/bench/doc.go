// Package bench measures the whole agent: how late a deadline is, how long a
// VMM's end takes to reach Nexus, how many requests a sled answers and what an
// idle VMM costs. It has tests only; docs/benchmarks.md says what came out.
//
// Figures of one machine mean little on another, so each is measured beside its
// floor: the least that a program without an agent in it needs for the same
// effect, in the same run and on the same machine. What counts is the ratio.
// No figure is asserted, and none fails a run.
//
// Whatever takes part is real but for two things. Zones are processes, or are
// kept in memory (zone/zonetest) where the agent's own part is what is asked
// for. Propolis is a few lines in memory, except where its client's cost counts.
//
// What does not belong here: benchmarks of one package, which live beside it.
package bench
