//go:build race

package e2e

// underRace tells to build the programs with the race detector, too.
const underRace = true
