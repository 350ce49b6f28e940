// Package publish tells Nexus what became of this sled's VMMs: it sends each
// VMM's newest record as PUT {replica}/vmms/{propolis_id} until Nexus answers
// 204, and nothing but 204 is an acknowledgement.
//
//	runner -- Offer --> slot (one a VMM, newest generation wins)
//	                      |  due at once, or when its backoff ends
//	                      v
//	                    round (at most Concurrency of them, a goroutine each)
//	                      |  a PUT to each replica in turn
//	runner <-- notify ----+  Acked | GaveUp, or the slot backs off
//
// Rounds are started by whatever makes a slot due: an Offer, the end of another
// round, or the scheduler, the one goroutine that watches the clock.
//
// Publishing never delays a VMM's life. Offer, Drop and Status do no I/O and
// wait for nothing but a mutex that is never held over I/O. What waits is
// bounded by one record a VMM, what is under way by Config.Concurrency; slots
// are served in the order in which they came due, so that no VMM can starve
// another. A VMM has at most one PUT under way, therefore Nexus is never sent
// an older record after a newer one.
//
// Which answer means what:
//
//	answer              running record       terminal record
//	204                 acknowledged         acknowledged
//	none, 5xx           next replica, then backoff, until superseded or GiveUpAfter
//	404, 410            dropped              5 tries, then given up
//	other 4xx           dropped              backoff, until GiveUpAfter
//	408, 429, all else  backoff              backoff, until GiveUpAfter
//
// GiveUpAfter is for terminal records alone: a running record is superseded by
// the terminal one sooner or later.
//
// What must not live here: decisions about a VMM's state or generation, which
// are the state machine's, and persistence, which is the ledger's. A publisher
// that is closed forgets everything; whoever starts the next one offers again, and
// tells it what had been acknowledged.
package publish
