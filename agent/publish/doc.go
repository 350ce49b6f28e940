// Package publish is the client of Nexus's internal API, of which this sled uses
// one call: PUT {replica}/vmms/{propolis_id} with a VMM's record.
//
//	Put --> place --> PUT to a replica --> outcome --> verdict --> Answer
//	          ^                               |
//	          +--- next replica <-- cannot tell
//
// Client.Put offers a record once and returns the result. The rule is that ignorance
// proves nothing: only Nexus's own answer says anything about a VMM.
//
//	answer                                     verdict
//	204                                        Acked
//	404, 410 with Nexus's error body           Unknown
//	other 4xx with it, except 408 and 429      Refused
//	everything else, and no answer             CannotTell: the next replica is asked
//
// # Bounds
//
// A PUT takes at most RequestTimeout: it has a connection to itself, which the end of its
// context closes, and at most 64 KiB of an answer are read. After a 204 the connection is
// kept for a few seconds, for the next record. A round asks each replica
// once, beginning with the last one that gave a good answer. A replica without an answer
// is avoided for ShunFor unless there is no other. Each replica has a share of the
// Concurrency places, so that hanging replicas do not keep the others from being asked.
// Calls wait for a place in order, those with the end of a VMM before others, until their
// contexts end.
//
// # Replicas
//
// SetReplicas replaces the replicas at any time; package srv finds them. Nothing waits for
// that: calls use the set that there is, and without any are answered at once, with CannotTell.
// A round asks no replica that was added after its first PUT, so it ends however often the set
// changes. PUTs at replaced ones go on, and count: no more than twice Concurrency are in
// progress at any time.
//
// # Order
//
// The caller makes one call of Put for a VMM at a time. Then no PUT of a record begins
// before all earlier ones have their answer or their connections are closed. A connection
// without a whole answer is reset, so that the kernel delivers nothing of it afterwards. A replica may
// still process what it has received of an earlier PUT: Nexus's handlers continue when
// the client disconnects. So an older record can be processed after a newer one; Nexus
// then compares generations and changes nothing.
//
// The state machine, not this package, decides what is offered when, retries, backs off
// and gives up.
package publish
