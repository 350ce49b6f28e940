// Command sledctl shows and controls the VMMs of the sled-agent on this host.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sledagent/sledagent/cmd/sledctl/internal/cli"
)

// version is set by the Makefile.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := cli.Run(ctx, os.Args[1:], cli.Terminal(version))
	stop()
	os.Exit(code)
}
