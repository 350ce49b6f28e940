package qemu

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/sledagent/sledagent/propolis/server"
)

// stream is the word for the first piece of QEMU's stream.
const stream word = "stream"

// A relay is between the two sides of a migration.
type relay struct {
	addr string
	// at is called for each word before it is passed on; false breaks the connection in place of
	// that.
	at func(word) bool
}

// newRelay returns a relay to a source.
func newRelay(t *testing.T, source string, at func(word) bool) *relay {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &relay{at: at}
	var serving sync.WaitGroup
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		serving.Add(1)
		defer serving.Done()
		there, _, err := websocket.Dial(ctx, "http://"+source+req.URL.Path, &websocket.DialOptions{
			HTTPHeader: http.Header{"Api-Version": req.Header["Api-Version"]}, Subprotocols: []string{migrationProtocol}})
		if err != nil {
			t.Errorf("relay: %v", err)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.CloseNow()
		here, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{migrationProtocol}})
		if err != nil {
			return
		}
		defer here.CloseNow()
		ended := make(chan struct{}, 2)
		for from, to := range map[*websocket.Conn]*websocket.Conn{here: there, there: here} {
			from.SetReadLimit(server.MaxMigrationFrame)
			serving.Go(func() {
				r.pass(ctx, from, to)
				ended <- struct{}{}
			})
		}
		<-ended
	}))
	r.addr = h.Listener.Addr().String()
	t.Cleanup(func() { cancel(); h.Close(); serving.Wait() })
	return r
}

// pass passes frames on until one side ends or a word breaks the connection.
func (r *relay) pass(ctx context.Context, from, to *websocket.Conn) {
	for flows := false; ; {
		kind, data, err := from.Read(ctx)
		if err != nil {
			return
		}
		var m message
		switch {
		case kind == websocket.MessageText:
			err = json.Unmarshal(data, &m)
		case !flows:
			flows, m.Word = true, stream
		}
		if err != nil || m.Word != "" && !r.at(m.Word) || to.Write(ctx, kind, data) != nil {
			return
		}
	}
}
