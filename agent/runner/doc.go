// Package runner lives one VMM's life: a goroutine that owns the VMM's state,
// takes requests and reports from a mailbox, asks vmm.Step what follows, has the
// new state made durable and then starts the effects.
//
//	request, report -> mailbox -> Step -> journal -> view, effects
//	                      ^                             |
//	                      +-------- reports ------------+
//
// The goroutine never does I/O and never waits for anybody: every effect runs in
// a goroutine of its own, with its own budget, and reports back. An effect that
// has been superseded is cancelled, and what it still reports is not heard.
// Reads are answered from an atomic view without the mailbox. Stop, unregister
// and kill have a lane of their own, so that nothing else can be in their way.
//
// The zone's removal belongs to the watchdog, for which a Runner is the Target:
// it goes on, and begins at its deadline, also if this goroutine does not.
//
// Two contexts must not be confused: the host's ends when the agent exits and
// leaves the VM alone; the VMM's work context ends when its removal begins.
//
// Rules about states do not belong here but in vmm, HTTP not here but in api.
package runner
