//go:build !illumos || !cgo

package kstat

import (
	"context"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone/stats"
)

// Sample takes a sample of the host's statistics, in this build with the command
// kstat(8).
func Sample(ctx context.Context, commands *command.Set) (stats.Sample, error) {
	return sampleCommand(ctx, commands)
}
