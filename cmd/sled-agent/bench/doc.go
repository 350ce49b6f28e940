// Package bench measures the whole agent: how late a deadline is, how long a VMM's end takes
// to reach Nexus, how many requests a sled answers and what an idle VMM costs. It has only
// tests; docs/benchmarks.md has the results.
//
// Results of one machine mean little on another, so each is measured with its floor, in the
// same run: what a program without the agent needs at least for the same effect. The ratio
// counts. No result is asserted.
//
// Everything is real, with two exceptions. Zones are processes, or are kept in memory
// (zone/zonetest) if only the agent itself is measured. Propolis is a few lines in memory,
// except where its client's cost counts, or where guests are real.
//
// Benchmarks of a single package belong to that package.
package bench
