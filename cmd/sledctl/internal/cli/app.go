package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

const (
	socketVariable = "SLED_AGENT_SOCKET"
	defaultSocket  = "/var/lib/sled-agent/admin.sock"

	formatTable = "table"
	formatJSON  = "json"

	// requestTimeout bounds commands that make only a few requests. It is Nexus's timeout
	// for the sled API, and twice what an unregister may take.
	requestTimeout = time.Minute
	// waitTimeout bounds commands that wait for a VMM, unless a longer grace was
	// requested. It is the default grace plus time for the removal.
	waitTimeout = 15 * time.Minute
)

// app is one run of sledctl: its environment, its global flags and the client made
// from them.
type app struct {
	Env
	socket, api, output string
	tls                 tlsFlags
	timeout             time.Duration

	admin *admin.Client
	// begun is set once a command's own code runs. An error before that is a usage
	// error.
	begun bool
}

func (a *app) prepare() error {
	if a.output != formatTable && a.output != formatJSON {
		return fail(exitUsage, "-o %q: want table or json", a.output)
	}
	if a.timeout < 0 {
		return fail(exitUsage, "--timeout %s: must not be negative", a.timeout)
	}
	a.admin = admin.NewClient(a.socket)
	return nil
}

// within calls do with --timeout as its limit, or with otherwise if there is no
// --timeout. It returns a special error on timeout. A limit of 0 means none.
func (a *app) within(ctx context.Context, otherwise time.Duration, do func(context.Context) error) error {
	limit := cmp.Or(a.timeout, otherwise)
	if limit == 0 {
		return do(ctx)
	}
	late := fail(exitTimedOut, "timed out after %s", limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	err := do(ctx)
	own := late
	if err == nil || !errors.Is(context.Cause(ctx), late) || errors.As(err, &own) && own != late {
		return err
	}
	return late
}

// sled returns a client of the sled API at --api, or else on the admin socket, where the
// agent knows who asks.
func (a *app) sled() (*api.Client, error) {
	if a.api == "" {
		return api.NewClientOver(a.admin.Sled()), nil
	}
	secure, err := a.tls.config(a.api)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(a.api, secure)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return client, nil
}

func (a *app) view() view.View {
	return view.View{Now: a.Now(), Color: a.color(), Width: a.Width, UTF8: a.utf8()}
}

// print prints an answer as JSON if that was requested, otherwise as text formats it.
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
