// Package command runs programs of the host so that none can block or confuse the
// agent: each has a budget, a bounded output, an environment and a process group of its
// own, and no terminal. The number of programs that survive SIGKILL and are left behind
// is bounded.
//
// The programs' names and output formats do not belong here.
package command
