package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/sledapi"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

const (
	socketVariable = "SLED_AGENT_SOCKET"
	defaultSocket  = "/var/lib/sled-agent/admin.sock"

	formatTable = "table"
	formatJSON  = "json"

	// requestTimeout bounds commands that make a few requests and no more. It is
	// what Nexus grants the sled API, and twice what an unregister may take.
	requestTimeout = time.Minute
	// waitTimeout bounds commands that wait for a VMM, unless a longer grace
	// was asked for: the default grace with time for the removal.
	waitTimeout = 15 * time.Minute
)

// app is one run of sledctl: its surroundings, its global flags and the client
// that came of them.
type app struct {
	Env
	socket, api, output string
	timeout             time.Duration

	admin *admin.Client
	// begun is set once a command's own code runs: an error before that is one
	// of usage.
	begun bool
}

func (a *app) prepare() error {
	if a.output != formatTable && a.output != formatJSON {
		return fail(exitUsage, "-o %q: want table or json", a.output)
	}
	if a.timeout < 0 {
		return fail(exitUsage, "--timeout %s: want more than nothing", a.timeout)
	}
	a.admin = admin.NewClient(a.socket)
	return nil
}

// bounded limits a command to --timeout, or to its own limit without one.
func (a *app) bounded(ctx context.Context, otherwise time.Duration) (context.Context, context.CancelFunc) {
	limit := otherwise
	if a.timeout > 0 {
		limit = a.timeout
	}
	return context.WithTimeoutCause(ctx, limit, fail(exitTimedOut, "timed out after %s", limit))
}

// timedOut says which limit it was that ended ctx, where one did; err otherwise.
func timedOut(ctx context.Context, err error) error {
	var limit *exitError
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.As(context.Cause(ctx), &limit) {
		return limit
	}
	return err
}

// sled returns a client of the sled API: at --api, or where the agent says.
func (a *app) sled(ctx context.Context) (*sledapi.Client, error) {
	base := a.api
	if base == "" {
		about, err := a.admin.About(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask the agent for its sled API: %w", err)
		}
		base = about.API
	}
	client, err := sledapi.New(base)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return client, nil
}

func (a *app) view() view.View {
	return view.View{Now: a.Now(), Color: a.color(), Width: a.Width, UTF8: a.utf8()}
}

// print writes an answer: as JSON if that is wanted, else as text makes it.
func (a *app) print(answer any, text func(view.View) string) error {
	if a.output == formatJSON {
		return printJSON(a.Out, answer)
	}
	_, err := io.WriteString(a.Out, text(a.view()))
	return err
}

func printJSON(w io.Writer, answer any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(answer)
}
