package publish

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

const noContent = "HTTP/1.1 204 No Content\r\n\r\n"

// piped returns a client whose connections go to a replica in the bubble, and the number of
// connections that it has opened. answer is called for each request with the number of the
// connection and that of the request on it; the connection is closed after an empty answer.
func piped(t *testing.T, answer func(connection, request int) string) (c *Client, opened *int) {
	t.Helper()
	opened = new(int)
	return New(Config{Addresses: []string{nexus1}, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		*opened++
		go serveConnection(theirs, func(request int) string { return answer(*opened, request) })
		return ours, nil
	}}), opened
}

func serveConnection(conn net.Conn, answer func(request int) string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for n := 1; ; n++ {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		text := answer(n)
		if _, err := io.WriteString(conn, text); err != nil || text == "" {
			return
		}
	}
}

// A connection is used again after a 204 with nothing behind it, and only then.
func TestConnectionsAreKeptAfterAnAcknowledgement(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		want   int // connections for three records
	}{
		"acknowledged":     {noContent, 1},
		"announced close":  {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 3},
		"another answer":   {noContent + noContent, 3},
		"another success":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 3},
		"an error":         {"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno", 3},
		"a switch":         {"HTTP/1.1 101 Switching Protocols\r\n\r\n", 3},
		"an older version": {"HTTP/1.0 204 No Content\r\n\r\n", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, opened := piped(t, func(_, _ int) string { return c.answer })
				for range 3 {
					client.Put(t.Context(), uuid.New(), running(1))
					synctest.Wait()
				}
				if *opened != c.want {
					t.Errorf("%d connections, want %d", *opened, c.want)
				}
				closeClient(t, client)
			})
		})
	}
}

// A replica may close a connection between two records. The second one is sent anew, and
// counts as one PUT.
func TestKeptConnectionThatWasClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, opened := piped(t, func(_, request int) string {
			if request == 2 {
				return ""
			}
			return noContent
		})
		for range 2 {
			if a := client.Put(t.Context(), uuid.New(), running(1)); a.Verdict != Acked || a.Sent != 1 {
				t.Errorf("%+v", a)
			}
		}
		if *opened != 2 {
			t.Errorf("%d connections", *opened)
		}
		closeClient(t, client)
	})
}

// A connection is kept for keepFor, and not beyond Close.
func TestKeptConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, opened := piped(t, func(_, _ int) string { return noContent })
		client.Put(t.Context(), uuid.New(), running(1))
		time.Sleep(keepFor)
		synctest.Wait()
		if n := len(client.kept.all); n != 0 {
			t.Errorf("%d connections are kept after %v", n, keepFor)
		}
		client.Put(t.Context(), uuid.New(), running(1))
		if *opened != 2 || len(client.kept.all) != 1 {
			t.Errorf("%d connections were opened, %d are kept", *opened, len(client.kept.all))
		}
		closeClient(t, client)
		synctest.Wait() // The bubble ends only if the replica's goroutines do.
		if l := (&line{read: bufio.NewReader(nil)}); client.kept.keep(nexus1, l) {
			t.Error("a closed client keeps a connection")
		}
	})
}

// What a replica sends without a request acknowledges nothing.
func TestUnaskedAnswerAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	requests, unasked := make(chan int, 8), make(chan struct{})
	go func() {
		for connection := 1; ; connection++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveConnection(conn, func(int) string { requests <- connection; return noContent })
			if connection == 1 {
				go func() {
					<-unasked
					_, _ = io.WriteString(conn, noContent)
					unasked <- struct{}{}
				}()
			}
		}
	}()
	c := New(Config{Addresses: []string{"http://" + l.Addr().String()}})
	defer closeClient(t, c)
	for want := 1; want <= 2; want++ {
		if a := c.Put(t.Context(), uuid.New(), running(1)); a.Verdict != Acked {
			t.Fatalf("%+v", a)
		}
		select {
		case connection := <-requests:
			if connection != want {
				t.Errorf("record %d came on connection %d", want, connection)
			}
		default:
			t.Errorf("record %d is acknowledged, and never came", want)
		}
		if want == 1 {
			unasked <- struct{}{}
			<-unasked
			for silent(c.kept.all[0].line.raw) { // until it has arrived
				time.Sleep(time.Millisecond) // sleep: the kernel delivers it
			}
		}
	}
}
