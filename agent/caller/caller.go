// Package caller carries who made a request from the server that was asked to the agent,
// in the request's context. It decides nothing: what a caller may do is decided by the
// servers.
package caller

import (
	"context"

	"github.com/sledagent/sledagent/agent/vmm"
)

type key struct{}

// With returns a context for a request of this caller.
func With(ctx context.Context, who vmm.Who) context.Context {
	return context.WithValue(ctx, key{}, who)
}

// Of returns the caller of a request, or otherwise if no server has named one.
func Of(ctx context.Context, otherwise vmm.Who) vmm.Who {
	if who, ok := ctx.Value(key{}).(vmm.Who); ok {
		return who
	}
	return otherwise
}
