package admin

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/conns"
)

// A peer is the process at the other end of a socket, as the kernel reports it.
type peer struct {
	uid    int
	groups []int
	// partial: it may be in other groups as well.
	partial bool
}

// refusedPeers bounds the log lines per second about refused processes.
const refusedPeers = 10

// admit names the callers, and refuses requests of processes that are neither root's nor the agent's user's nor in one
// of the groups. The socket's mode has let them in, so that this is a second check; where the
// kernel does not say who they are, that was the only one.
func admit(groups func() []int, log zerolog.Logger) echo.MiddlewareFunc {
	if groups == nil {
		groups = func() []int { return nil }
	}
	users := newUsers()
	log = log.Sample(&zerolog.BurstSampler{Burst: refusedPeers, Period: time.Second})
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			raw, ok := conns.Raw(r.Context()).(syscall.Conn)
			if !ok {
				return next(c)
			}
			p, err := peerOf(raw)
			if err != nil {
				return next(c)
			}
			if p.mayUse(groups()) {
				c.SetRequest(r.WithContext(caller.With(r.Context(), vmm.Operator(users.name(p.uid)))))
				return next(c)
			}
			log.Warn().Int("uid", p.uid).Ints("groups", p.groups).Str("request", r.Method+" "+r.URL.Path).
				Msg("process refused at the admin socket")
			return &Error{Status: http.StatusForbidden,
				Message: fmt.Sprintf("user %d may not use the admin socket: it is for root, the agent's user and admin.group", p.uid)}
		}
	}
}

func (p peer) mayUse(groups []int) bool {
	if p.uid == 0 || p.uid == os.Geteuid() {
		return true
	}
	return len(groups) > 0 && p.partial || slices.ContainsFunc(groups, func(g int) bool { return slices.Contains(p.groups, g) })
}
