// Package command runs the host's programs, such that none of them can hold up
// or confuse the agent: each has a budget, a bounded output, an environment of
// its own and no terminal, and one that cannot be killed is left behind,
// counted and capped.
//
// What must not live here: which programs there are and what they print.
package command
