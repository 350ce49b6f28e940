package admin

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// sledPath is where the sled API is served on the admin socket.
	sledPath = "/v1/sled"
	// sledBodyTimeout bounds reading a request's body, as the sled API's own server does.
	sledBodyTimeout = 20 * time.Second
)

// serveSled serves the sled API to an operator. Who may use the socket may kill any VMM, so
// that there are no roles. The sled API bounds its requests itself.
func serveSled(api http.Handler) echo.HandlerFunc {
	api = http.StripPrefix(sledPath, api)
	return func(c echo.Context) error {
		ctx := c.Request().Context()
		ctx = caller.With(ctx, caller.Of(ctx, vmm.ByOperator))
		if c.Request().ContentLength != 0 {
			// net/http removes this deadline at the end of the body. Without a body it would stay, and
			// end the request when it has passed.
			_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(sledBodyTimeout))
		}
		api.ServeHTTP(c.Response(), c.Request().WithContext(ctx))
		return nil
	}
}

// Sled returns the base URL of the sled API on the socket, and the transport to use it with.
func (c *Client) Sled() (base string, transport http.RoundTripper) {
	return "http://agent" + sledPath, c.http.Transport
}
