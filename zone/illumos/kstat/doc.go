// Package kstat samples what a sled's zones, VMs, links and reservoir use, and
// offers it to Prometheus.
//
// A Sample means the same wherever it comes from. On illumos it is read from
// the kernel's statistics, in one of two ways that give the same: libkstat,
// where the program was built with cgo, else the command kstat(8), whose output
// is parsed. Sub-package procstat takes the part of it that there is on Linux
// from /proc, so that the process backend's metrics have the same names.
//
// # How a kstat is found
//
// A kstat is named module:instance:name, and the kernel cuts the name at 30
// characters, which every Propolis zone's exceeds. So zones are told apart by
// the instance, which is the zone's id, and take their name from the statistic
// "zonename" in it; VMs by the instance, which is the device's minor number, and
// "vm_name". A zone's id is a new one at each boot and its counters begin at 0.
//
// What must not live here: what the numbers mean for a VMM, limits and alarms.
package kstat
