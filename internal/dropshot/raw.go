package dropshot

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// A Raw is data sent on a connection instead of a valid HTTP response.
type Raw struct {
	// Head is sent at once, then Slow byte by byte, then Again without end.
	Head, Slow, Again string
	// Pause is between two bytes of Slow and two of Again.
	Pause time.Duration
	// Hold keeps the connection open and silent after everything was sent.
	Hold bool
}

// Send takes the connection over. It closes it when everything was sent, the client has
// closed it, or ctx has ended.
func (r Raw) Send(ctx context.Context, w http.ResponseWriter) {
	conn := Hijack(w)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_ = conn.SetDeadline(time.Time{}) // on failure the connection only ends earlier
	_, err := io.WriteString(conn, r.Head)
	for rest := []byte(r.Slow); len(rest) > 0 && err == nil; rest = rest[1:] {
		_, err = conn.Write(rest[:1])
		Sleep(ctx, r.Pause)
	}
	again := []byte(r.Again)
	if r.Pause == 0 && len(again) > 0 {
		again = bytes.Repeat(again, 1+4096/len(again))
	}
	for len(again) > 0 && err == nil {
		_, err = conn.Write(again)
		Sleep(ctx, r.Pause)
	}
	if r.Hold && err == nil {
		_, _ = io.Copy(io.Discard, conn) // until the client closes it
	}
}

// Sleep sleeps for a duration and reports whether ctx lasted as long.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Hijack takes a connection over. If that is not possible it aborts the connection.
func Hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}
