// Package demo is `sledctl demo`: the project's promise, seen at work on the
// machine at hand in a few seconds and without root.
//
//	nexus-sim <──records── sled-agent ──zones──> 5 x propolis-sim
//	    ^                   ^      ^                    ^
//	    └──────asks─────────┴─demo─┴───misbehave!───────┘
//
// It starts the real programs in a directory of its own, runs five VMMs of
// which most will not stop as they should, asks for all of them to be stopped,
// and checks by itself what became of each: it asks Nexus, the agent, the
// kernel, the file system and, with zones of illumos, the commands of the host,
// and takes the agent's word only for the times that nobody else can know.
//
// What lives here: the cast, the ground that its zones stand on, the stage and
// the processes on it (which do I/O), and the timeline, the verdict and the picture, which are pure functions of
// the facts. What must not: any knowledge that an outsider could not have.
package demo
