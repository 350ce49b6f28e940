// Package runner drives a single VMM through its lifecycle: a goroutine owns the
// VMM's state, takes requests and reports from a mailbox, asks vmm.Step what
// follows, has the new state made durable and then starts the effects.
//
//	request, report -> mailbox -> Step -> journal -> view, effects
//	                      ^                             |
//	                      +-------- reports ------------+
//
// The goroutine never does I/O and never waits for anything but its mailbox and
// the journal's answers. What takes time is an effect: one table (effects.go)
// says what each runs, within which budget, and what its report becomes, and
// there is one way to start one. At most one effect of a kind is under way; one
// that has been superseded is cancelled, and its later reports are dropped.
// Everything else that matters about the order of events is an input of the
// machine: that a start has returned, which removal has ended, that a state
// could not be saved.
//
// Reads are answered from an atomic view without the mailbox. Stop, unregister
// and kill have a queue of their own, so that no other request can delay them.
//
// The zone's removal belongs to the watchdog, for which a Runner is the Target:
// it begins at its deadline and goes on even if this goroutine is blocked.
//
// Two contexts must not be confused: the host's ends when the agent exits and
// leaves the VM alone; the VMM's work context ends when its removal begins.
//
// What can happen around the loop comes in every order, to a bound, in the model
// test (model_test.go), with the moves and the checks in files beside it.
//
// Rules about states do not belong here but in vmm, HTTP not here but in api.
package runner
