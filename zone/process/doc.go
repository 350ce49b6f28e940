// Package process implements zones as process trees, for hosts that are not illumos:
// real processes and real kills, without a hypervisor.
//
// A zone is a directory below Config.Dir (see internal/zonedir for what it
// holds) and, while it runs, one process tree:
//
//	sled-agent
//	  sled-spawner                         starts inits for the agent (internal/spawner)
//	  sled-zone-init <zone's directory>    cmd/sled-zone-init, or the agent's own program
//	    server                             Config.Argv, in a session of its own
//	      ...
//
// The tree is held together by the best means that the host grants:
//
//   - its own PID namespace, of which the init is the first process. When the init
//     ends, the kernel kills all other processes in it, detached ones included;
//   - its own control group below the agent's, killed through cgroup.kill;
//   - else the init as the reaper of every orphan below it. The tree is then killed
//     by walking it. This is best effort: a process that outlives a killed init is
//     found by a variable in its environment, and is lost if it cleared that.
//
// A zone has a limit of processes and threads (Config.MaxTasks), of control groups
// below its own, and of their depth, if the kernel can count them: by the pids
// controller of cgroup v2 if it is enabled where the agent runs, else by that of v1.
// Without either, the servers of an unprivileged agent have RLIMIT_NPROC lowered so
// that some of their user's processes stay free, and those of root have no limit.
//
// # Trust
//
// The init outlives the agent. boot.json identifies it by pid and start time and is
// written before the init may start anything, so a restarted agent finds it. The
// record is checked against the process at each use: the start time must match, and
// the command line must name this zone's directory. A record that was copied, forged,
// kept over a reboot of the host, or whose pid was reused, thus never makes the agent
// kill an unrelated process or take one for the zone. Which boot of the host the
// record was written in does not matter.
//
// A server runs as the agent's user. It can reach its zone's directory, other zones'
// directories and the agent's own, as far as the host allows that user. So every file
// there may be forged. A record that is not a regular file or is too long is ignored,
// no read of one blocks, and missing information is looked for among all processes. A
// server can thus end its own zone. It can also get a process of its own killed by
// making it claim to be of a zone. It cannot make the agent kill a process that claims
// nothing, nor overlook one that claims to be of a zone. Text that may come from a
// zone, such as the end of its log, is shown without control characters and with a
// bounded length.
//
// A look has three outcomes. Processes of the zone exist. None exists: an empty
// control group proves that, or a look at every process of the host. Or an error: the
// answer is unknown. One process that cannot be looked at, one record that cannot be
// read or one directory that cannot be listed is an error, and nothing is removed then.
//
// # Order and races
//
// Calls that change a zone run one at a time (zone/internal/zonelock). Zones do not
// wait for each other. A removal first cancels a Create or Boot that was called
// earlier; that call then fails and leaves no process. A kill waits for nothing.
//
// A server never waits for the disk of its log: its init drops output that the disk
// does not take in time and logs how much. But a thread that waits in the kernel for
// a disk keeps the init from ending, so a zone may outlast its server until the disk
// answers.
//
// Every wait ends with its context. The removal of files checks its context between
// any two entries.
//
// # Files
//
// The content of a zone's directory affects only that zone's removal, which needs a
// bounded number of descriptors and a bounded amount of memory (internal/rmtree).
// While something is mounted in a zone's directory, nothing in it is removed.
//
// VMMs, Propolis's API, retries and budgets do not belong here.
package process
