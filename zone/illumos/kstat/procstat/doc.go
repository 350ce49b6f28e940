// Package procstat samples what zones of the process backend use, from Linux's
// /proc, under the names that package kstat gives to the same on illumos.
//
// A zone's CPU time is that of every process below its first one, with that of
// their children which have ended and were waited for, so it does not fall when
// a process ends. Its memory is the sum of what each process has resident; pages
// that they share count for each.
//
// What must not live here: anything that finds zones; the caller knows them.
package procstat
