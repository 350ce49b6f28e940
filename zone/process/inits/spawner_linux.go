package inits

import (
	"os"

	"github.com/sledagent/sledagent/zone/process/internal/spawner"
)

func runSpawner() {
	if len(os.Args) == 1 && os.Args[0] == spawner.Arg0 {
		os.Exit(spawner.Run())
	}
}
