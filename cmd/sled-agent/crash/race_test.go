//go:build race

package crash

// underRace tells to build the agent with the race detector, too.
const underRace = true
