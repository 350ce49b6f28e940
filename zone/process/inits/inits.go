// Package inits is what zones of the process backend need of a program: a zone's init, and
// the helper that starts inits. It is small, since a host has one init for each zone:
// cmd/sled-zone-init is nothing else, and the agent's own program can do the same.
package inits

import (
	"os"

	"github.com/sledagent/sledagent/zone/process/internal/zoneinit"
)

// Program is the name of the program that does nothing else.
const Program = "sled-zone-init"

// Main returns at once, unless this process was started as a zone's init or as the helper that
// starts inits: then it runs that and never returns. It must be the first call in main.
func Main() {
	runSpawner()
	if len(os.Args) == 2 && os.Args[0] == zoneinit.Arg0 {
		os.Exit(zoneinit.Run(os.Args[1]))
	}
}
