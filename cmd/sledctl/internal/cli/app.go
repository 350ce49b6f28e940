package cli

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

const (
	socketVariable = "SLED_AGENT_SOCKET"
	defaultSocket  = "/var/lib/sled-agent/admin.sock"

	colorAuto   = "auto"
	colorAlways = "always"
	colorNever  = "never"

	// requestTimeout bounds commands that make only a few requests. It is Nexus's timeout
	// for the sled API, and twice what an unregister may take.
	requestTimeout = time.Minute
	// waitTimeout bounds commands that wait for a VMM, unless a longer grace was
	// requested. It is the default grace plus time for the removal.
	waitTimeout = 15 * time.Minute
)

var colors = []string{colorAuto, colorAlways, colorNever}

// app is one run of sledctl: its environment, its global flags and the client made
// from them.
type app struct {
	Env
	ctx         context.Context // the whole run's
	socket, api string
	output      output
	tls         tlsFlags
	timeout     time.Duration
	color       string
	local       bool
	noPager     bool

	admin   *admin.Client
	closers []func()
	// begun is set once a command's own code runs. An error before that is a usage
	// error.
	begun bool
}

func (a *app) prepare() error {
	if err := a.output.check(); err != nil {
		return err
	}
	if !slices.Contains(colors, a.color) {
		return fail(exitUsage, "--color %s: want %s", a.color, list(colors))
	}
	if a.timeout < 0 {
		return fail(exitUsage, "--timeout %s: must not be negative", a.timeout)
	}
	a.admin = admin.NewClient(a.socket)
	a.closers = append(a.closers, a.admin.Close)
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
	a.closers = append(a.closers, client.Close)
	return client, nil
}

func (a *app) view() view.View {
	v := view.View{Now: a.Now(), Color: a.color == colorAlways || a.color == colorAuto && a.colors(), Width: a.Width, Height: a.Height, UTF8: a.utf8()}
	if a.output.format == formatWide {
		v.Wide, v.Width = true, 0
	}
	if a.local {
		v.Zone = a.Zone
	}
	return v
}
