//go:build race

package illumos

// underRace tells to build the agent with the race detector, too.
const underRace = true
