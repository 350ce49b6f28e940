// Package process keeps zones as process trees, for hosts that are not illumos:
// real processes and real kills, without a hypervisor.
//
// A zone is a directory below Config.Dir (see internal/zonedir for what it
// holds) and, while it runs, one process tree:
//
//	sled-agent
//	  sled-zone-init <zone's directory>    a re-exec of the agent's executable
//	    server                             Config.Argv, in a session of its own
//	      ...
//
// What holds the tree together is, the best that the host grants:
//
//   - its own PID namespace, of which the init is the first process: when that
//     dies, the kernel kills the rest, whatever it has forked or detached;
//   - its own control group below the agent's, killed through cgroup.kill;
//   - else the init as reaper of every orphan below it, and the tree killed by
//     walking it. That is best effort: a process that outlives a killed init
//     is found by a variable in its environment and lost if it cleared that.
//
// The init outlives the agent. It is known by pid, start time and boot id, in
// boot.json, which is written before the init may start anything; an agent
// that starts anew finds it there. Whether it lives is asked of the kernel each
// time, so no file can make the agent kill a stranger.
//
// # Order and races
//
// Create, Boot, Halt, Uninstall, Delete and Release of one zone take turns;
// zones do not wait for each other. Kill takes no turn. Each removal method
// makes known that it has begun before it does anything else, and a Create or
// Boot that was called earlier then fails and leaves no process.
//
// Removing files cannot be interrupted within one entry of a zone's directory;
// every other wait ends with its context.
//
// What must not live here: VMMs, Propolis's API, retries and budgets.
package process
