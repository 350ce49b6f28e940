// Package propolis speaks to one Propolis server, the process that runs one VM,
// over its HTTP API 6.0.0.
//
// It holds the types of the part of that API which a sled agent needs, a Client
// for the single calls, a classification of everything that can go wrong in one
// (Kind), Watch, which follows a VM's state for as long as it lives, and the
// few edits to an instance spec that only the host can make.
//
// It decides nothing: not whether a call is made again (Watch, which has to
// look again for ever, is the one exception), not what a state means for the
// VMM, not when a VM is to be killed. It knows no zones and nothing of Nexus,
// and it imports no other package of the module.
//
// A Propolis server is not trusted. Whatever it answers, or does not, costs a
// bounded time, a bounded amount of memory and an error at the most.
package propolis
