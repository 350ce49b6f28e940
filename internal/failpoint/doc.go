// Package failpoint lets the crash tests kill a process at a chosen step. In an
// ordinary build it does nothing and costs nothing; with the build tag
// "failpoint" the process kills itself at the point that the environment names:
//
//	SLED_AGENT_FAILPOINT=effect/vmm.Remove  at the first pass
//	SLED_AGENT_FAILPOINT=rung/kill:3        at the third
//	SLED_AGENT_FAILPOINT_LIST=FILE          adds each pass's name to FILE, a line each
package failpoint
