package conns_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/certs/certstest"
	"github.com/sledagent/sledagent/internal/conns"
)

// Connections with an unfinished handshake make room for others, and are closed after ReadHeader
// in any case. Those that are served are not closed for them.
func TestUnfinishedHandshakes(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	pair := ca.Issue(t, "server")
	own, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p, hold := newPipes(), make(chan struct{})
		srv := conns.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conns.Received(r.Context())
			defer conns.Answered(r.Context())
			if conns.Raw(r.Context()) == nil || r.TLS == nil {
				t.Error("the connection is not known")
			}
			if r.URL.Path == "/slow" {
				<-hold
			}
			_, _ = io.WriteString(w, "yes")
		}), conns.Options{Max: 3, Name: "test", Log: zerolog.Nop(), ReadHeader: 10 * time.Second,
			TLS: &tls.Config{Certificates: []tls.Certificate{own}}})
		done := make(chan error, 1)
		go func() { done <- srv.Serve(p) }()
		secure := func() *client {
			return &client{tls.Client(p.dial().Conn, &tls.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1"})}
		}
		answer := make(chan string, 1)
		served := secure()
		go func() { answer <- served.ask("/slow") }()
		synctest.Wait()
		for range 10 {
			p.dial() // and says nothing
		}
		other := secure()
		if got := other.ask("/"); got != "yes" {
			t.Errorf("beside unfinished handshakes a client got %q", got)
		}
		silent := p.dial()
		began := time.Now()
		if _, err := io.Copy(io.Discard, silent); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("an unfinished handshake was ended after %v", took)
		}
		close(hold)
		if got := <-answer; got != "yes" {
			t.Errorf("the request that was being answered got %q", got)
		}
		// A bubble's time stands still while a goroutine waits for a mutex, such as that which net/http
		// holds while it says goodbye to a client that does not read.
		for _, c := range []*client{served, other} {
			_ = c.Close()
		}
		synctest.Wait()
		_ = srv.Shutdown(t.Context())
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
