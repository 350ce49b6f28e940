// Package rmtree removes directory trees with untrusted content, of any depth, width
// and path length. It uses a bounded number of descriptors, a bounded amount of
// memory and a number of system calls proportional to the number of entries. It
// crosses no mount point and follows no link. It checks its context between any two
// entries.
//
// Nothing that knows zones belongs here.
package rmtree
