// Package propolis is a client for a Propolis server, the process that runs one VM, and
// its HTTP API 6.0.0.
//
// It has the types of the part of the API that a sled agent needs, a Client for single
// calls, a classification of their errors (Kind), Watch, which follows a VM's state until
// the VM ends, and the edits to an instance spec that only the host can make.
//
// It makes no decisions: whether to repeat a call (except for Watch, which must retry),
// what a state means for the VMM, when to kill a VM. It does not know about zones or
// Nexus, and of the module it imports only packages below internal.
//
// That a VM has ended takes proof: a monitor's answer with a final state, the API's own
// NoInstance error (424 or 410, with its code and a complete body), or connections that
// are refused, without any other error in between, for GoneAfter. All other errors prove
// nothing and restart the count of refusals: timeouts, resets, garbage, other statuses,
// other codes, unreachable networks and hosts, and a lack of resources on this host.
//
// A Propolis server is not trusted. Whatever it answers costs at most an error, a
// bounded time and a bounded amount of memory.
package propolis
