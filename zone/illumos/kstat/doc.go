// Package kstat samples the statistics of an illumos kernel, with libkstat where the
// program is built with cgo, otherwise by running kstat(8).
//
// A kstat is named module:instance:name, and the kernel truncates the name to 30
// characters, which every Propolis zone's name exceeds. So a zone is identified by
// the instance, which is its zone id, and its name is the statistic "zonename". A
// VM is identified by the instance, the minor number of its device, and its name is
// "vm_name". At each boot a zone has a new id and its counters begin at 0.
package kstat
