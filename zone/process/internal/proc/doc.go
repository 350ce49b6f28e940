// Package proc identifies, watches and kills processes without confusing one with
// another. A process is identified by its pid and its start time (ID); within one boot
// of the host no two processes share both. Signals are sent through a Handle, which is
// a pidfd on Linux, so that a reused pid is never signaled. A zombie counts as ended
// once its last thread has ended.
//
// Every question has three answers: yes, no, and an error, which means unknown. Only
// ErrGone proves an end. A scan that cannot look at every process fails as a whole.
//
// One Poller watches any number of processes, children or not, with one goroutine, and
// reaps the children.
//
// Nothing that knows zones, their files or cgroups belongs here.
package proc
