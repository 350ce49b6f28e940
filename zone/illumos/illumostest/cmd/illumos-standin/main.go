// Command illumos-standin answers as zoneadm, zonecfg, dladm and the other
// illumos commands that a zone backend runs, on any Unix system. It goes by the
// name it is called by, or by its first argument. The state of the host that it
// makes believe is in the directory that a file named .state beside it names.
package main

import (
	"os"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

func main() { os.Exit(standin.Main(os.Args)) }
