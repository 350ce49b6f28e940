package publish

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostile are misbehaviours of a replica on a connection with a request or, if the name
// begins with "early", before the request. None of them is an answer about a VMM.
var hostile = map[string]func(net.Conn){
	"early close":          func(net.Conn) {},
	"early reset":          func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) },
	"early greeting":       say("SSH-2.0-OpenSSH_9.9\r\n"),
	"early page":           say("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n<html>"),
	"early flood":          flood("", "HTTP/1.1 100 Continue\r\n\r\n"),
	"early hang":           func(c net.Conn) { readRequest(c); readRequest(c) },
	"nothing":              func(net.Conn) {},
	"reset":                func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) },
	"garbage":              say("\x00\xff\x7fELF not HTTP at all\r\n\r\n"),
	"HTTP/0.9":             say("<html>204 No Content</html>"),
	"HTTP/2 frame":         say("\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
	"TLS alert":            say("\x15\x03\x03\x00\x02\x02\x28"),
	"half a status":        say("HTTP/1.1 20"),
	"half a header":        say("HTTP/1.1 204 No Content\r\nContent-Le"),
	"half a body":          say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
	"half an error":        say("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + `{"request_id":"r","message":"m"}`),
	"bad chunks":           say("HTTP/1.1 503 Oh\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
	"bad length":           say("HTTP/1.1 404 Oh\r\nContent-Length: -1\r\n\r\n"),
	"huge length":          say("HTTP/1.1 404 Oh\r\nContent-Length: 9223372036854775807\r\n\r\n"),
	"status 99999":         say("HTTP/1.1 99999 Oh\r\n\r\n"),
	"status 000":           say("HTTP/1.1 000 Oh\r\n\r\n"),
	"only continue":        say("HTTP/1.1 100 Continue\r\n\r\n"),
	"page":                 say("HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>"),
	"redirect":             say("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
	"switch and close":     say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
	"switch and hang":      hang("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
	"switch and flood":     flood("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "z"),
	"hang":                 hang(""),
	"hang in header":       hang("HTTP/1.1 204 No Content\r\nX: "),
	"hang in body":         hang("HTTP/1.1 503 Oh\r\nContent-Length: 5\r\n\r\n{"),
	"endless status":       flood("HTTP/1.1 204 ", "No Content "),
	"endless header":       flood("HTTP/1.1 204 No Content\r\nX: ", "x"),
	"endless headers":      flood("HTTP/1.1 204 No Content\r\n", "X: y\r\n"),
	"endless body":         flood("HTTP/1.1 500 Oh\r\n\r\n", "y"),
	"endless chunks":       flood("HTTP/1.1 404 Oh\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
	"endless trailer":      flood("HTTP/1.1 404 Oh\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"),
	"endless continue":     flood("", "HTTP/1.1 100 Continue\r\n\r\n"),
	"endless early hints":  flood("", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"),
	"trickle of a header":  trickle("HTTP/1.1 204 No Content\r\nX: ", "x"),
	"trickle of a body":    trickle("HTTP/1.1 404 Oh\r\n\r\n", "y"),
	"trickle of continues": trickle("", "HTTP/1.1 100 Continue\r\n\r\n"),
}

func say(text string) func(net.Conn) { return func(c net.Conn) { io.WriteString(c, text) } }

// hang sends head and then waits until the other side closes.
func hang(head string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, head)
		c.Read(make([]byte, 1))
	}
}

// flood sends head and then bit as long as the other side reads.
func flood(head, bit string) func(net.Conn) {
	block := []byte(strings.Repeat(bit, 1+4096/len(bit)))
	return func(c net.Conn) {
		_, err := io.WriteString(c, head)
		for err == nil {
			_, err = c.Write(block)
		}
	}
}

// trickle sends head and then bit every few milliseconds.
func trickle(head, bit string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, head)
		for err == nil {
			_, err = io.WriteString(c, bit)
			time.Sleep(5 * time.Millisecond) // sleep: the fault under test is slowness
		}
	}
}

// rawListener accepts connections, reads a whole request from each, unless the name
// begins with "early", and passes them to answer. stop waits until all calls of answer
// have returned.
func rawListener(t testing.TB, name string, answer func(net.Conn)) (base string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				if strings.HasPrefix(name, "early") || readRequest(conn) == nil {
					answer(conn)
				}
			})
		}
	})
	return "http://" + l.Addr().String(), func() { l.Close(); wg.Wait() }
}

func readRequest(conn net.Conn) error {
	// A record ends with a brace; a TLS handshake begins with byte 0x16.
	buf := make([]byte, 64<<10)
	n := 0
	for {
		m, err := conn.Read(buf[n:])
		if n += m; err != nil {
			return err
		}
		if buf[0] == 0x16 || bytes.HasSuffix(buf[:n], []byte("}")) && bytes.Contains(buf[:n], []byte("\r\n\r\n")) {
			return nil
		}
	}
}
