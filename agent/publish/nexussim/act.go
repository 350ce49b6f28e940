package nexussim

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/sledagent/sledagent/internal/dropshot"
)

func as(act http.HandlerFunc) func(*Server, *call, Fault) http.HandlerFunc {
	return func(*Server, *call, Fault) http.HandlerFunc { return act }
}

func wire(raw dropshot.Raw) func(*Server, *call, Fault) http.HandlerFunc {
	return as(func(w http.ResponseWriter, r *http.Request) { raw.Send(r.Context(), w) })
}

func (c *call) failWith(status int) http.HandlerFunc {
	e := dropshot.Plain(status, "")
	if status == http.StatusInternalServerError {
		e.Code = "Internal"
	}
	c.put.Answer, c.put.Message = status, e.Message
	return func(w http.ResponseWriter, _ *http.Request) { e.Write(w) }
}

// ingress answers like a proxy in front of Nexus: without the request's id and Nexus's
// error body.
func (c *call) ingress(status int, page bool) http.HandlerFunc {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	c.put.Answer, c.put.Message = status, title+", from an ingress"
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Del(dropshot.RequestID)
		if page {
			w.Header().Set("Content-Type", "text/html")
		}
		w.WriteHeader(status)
		if page { // the client may have disconnected
			_, _ = fmt.Fprintf(w, "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%[1]s</h1></center>\r\n"+
				"<hr><center>ingress</center>\r\n</body>\r\n</html>\r\n", title)
		}
	}
}

// silence holds the request until the client disconnects or the server is closed.
func silence(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func garbage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "\x00\xff{\"gen\": <<<<") // the client may have disconnected
}

// reset closes the connection with a TCP reset where possible.
func reset(w http.ResponseWriter, _ *http.Request) { resetConn(dropshot.Hijack(w)) }

func resetConn(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // otherwise it is a plain close
	}
	_ = conn.Close()
}
