package bench

import (
	"fmt"
	"os"
	"testing"

	"github.com/sledagent/sledagent/zone/process"
)

func TestMain(m *testing.M) {
	process.Main()
	if len(os.Args) == 3 && os.Args[1] == othersMode {
		if err := serveOthers(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
