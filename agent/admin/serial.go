package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/conns"
)

const (
	// maxConsoles is the number of serial consoles open at a time.
	maxConsoles = 16
	// serialBudget bounds the wait for a connection to a Propolis server, and then that for the
	// beginning of its answer. historyBudget bounds a call for what a console has shown.
	serialBudget  = 10 * time.Second
	historyBudget = 30 * time.Second
	// maxFrame bounds a message of a console, in bytes. A server sends what it has kept in
	// one.
	maxFrame = 4 << 20
)

// serial passes a VM's serial console through from its Propolis server, as a websocket
// of the form that Propolis gives it, or passes what the console has shown. It ends
// with the client, the server and Shutdown.
//
// limit bounds the whole call; 0 is none.
func (s *Server) serial(path string, limit time.Duration) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := parseID(c.Param("id"))
		if err != nil {
			return err
		}
		status, err := s.agent.Show(id)
		if err != nil {
			return fmt.Errorf("console of VMM %s: %w", id, err)
		}
		select {
		case s.consoles <- struct{}{}:
			defer func() { <-s.consoles }()
		default:
			return &Error{Status: http.StatusServiceUnavailable, Message: "too many consoles are open"}
		}
		ctx, cancel := context.WithCancel(c.Request().Context())
		defer cancel()
		if limit > 0 {
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		s.log.Info().Stringer("vmm", id).Str("path", path).Str("by", string(caller.Of(ctx, vmm.ByOperator))).Msg("console requested")
		go func() {
			select {
			case <-s.ended:
				cancel() // Shutdown does not know of websockets.
			case <-ctx.Done():
			}
		}()
		s.pass(c, ctx, status.Addr, path)
		return nil
	}
}

// pass forwards the request to the Propolis server at addr, and its answer.
func (s *Server) pass(c echo.Context, ctx context.Context, addr, path string) {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.URL.Path, r.Out.Host = "http", addr, path, addr
			r.Out.Header.Set("api-version", s.propolis)
		},
		Transport: &http.Transport{
			DialContext:            dialWhole,
			ResponseHeaderTimeout:  serialBudget,
			MaxResponseHeaderBytes: maxHeader,
			DisableKeepAlives:      true,
		},
		ErrorLog: conns.ErrorLog(s.log, "consoles"),
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			s.answerError(c, &Error{Status: http.StatusBadGateway, Message: fmt.Sprintf("ask Propolis at %s for %s: %v", addr, path, err)})
		},
	}
	proxy.ServeHTTP(c.Response(), c.Request().WithContext(ctx))
}

// dialWhole connects to a server. The connection cannot be closed for writing alone: the proxy
// would do that once the client has left, and then wait for a server that may never close it.
func dialWhole(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: serialBudget}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{conn}, nil
}

// Serial opens a VM's serial console. It begins with the last bytes that the console has
// shown, at most recent. Binary messages are the console's bytes, in both directions. The
// caller closes the connection.
func (c *Client) Serial(ctx context.Context, id uuid.UUID, recent uint64) (*websocket.Conn, error) {
	url := fmt.Sprintf("ws://agent/v1/vmms/%s/serial?most_recent=%d", id, recent)
	//nolint:bodyclose // Dial closes it.
	conn, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: c.http})
	switch noAgent, ok := errors.AsType[*NoAgentError](err); {
	case err == nil:
		conn.SetReadLimit(maxFrame)
		return conn, nil
	case ok:
		return nil, noAgent
	case res != nil && res.StatusCode != http.StatusSwitchingProtocols:
		return nil, refusal(res)
	}
	return nil, fmt.Errorf("open the console of VMM %s: %w", id, err)
}

// SerialHistory returns the last bytes that a VM's serial console has shown, at most recent.
func (c *Client) SerialHistory(ctx context.Context, id uuid.UUID, recent uint64) ([]byte, error) {
	answer, err := ask[struct{ Data []byte }](ctx, c, http.MethodGet,
		fmt.Sprintf("/v1/vmms/%s/serial/history?most_recent=%d", id, recent))
	return answer.Data, err
}
