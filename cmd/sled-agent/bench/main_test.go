package bench

import (
	"fmt"
	"os"
	"testing"

	"github.com/sledagent/sledagent/zone/process"
)

// modes are what this program does when it is executed with a mode and an argument.
var modes = map[string]func(argument string) error{othersMode: serveOthers, nexusMode: serveNexus}

func TestMain(m *testing.M) {
	process.Main()
	if len(os.Args) == 3 && modes[os.Args[1]] != nil {
		if err := modes[os.Args[1]](os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if path, err := buildZoneInit(); err == nil {
		_ = os.Remove(path)
	}
	os.Exit(code)
}
