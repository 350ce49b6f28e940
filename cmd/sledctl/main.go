// Command sledctl shows and controls the VMMs of the sled-agent on this host.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sledagent/sledagent/cmd/sledctl/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Terminal())
	stop()
	os.Exit(code)
}
