package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/hostdir"
)

// closeBudget is how long the host's processes may take to be no more.
const closeBudget = 10 * time.Second

// closeHost takes the host down that is in the directory.
func closeHost(args []string) error {
	if len(args) != 1 || args[0] == "" || args[0][0] == '-' {
		return usageError(fmt.Sprintf("close: want one directory, got %q", args))
	}
	h, err := hostdir.Open(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeBudget)
	defer cancel()
	return h.Close(ctx)
}
