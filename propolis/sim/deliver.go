package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// deliver sends a call's answer in the manner that the faults of the moment ask
// for. They may have changed while the call was carried out.
func (x *exchange) deliver(c call, a answer) {
	for {
		f, changed := x.s.meet(c)
		switch f.manner {
		case hang, deaf, mute:
			x.await(changed)
			continue
		case reset:
			x.abort()
		case garble:
			x.write(http.StatusOK, []byte(`{"gen":1,"state":"Runn`+"\x00\xff"))
		case half, trickle, babble, flood:
			x.spoil(f, a)
		case crashBehind:
			a.after = func() { x.s.perform(Process.Crash) }
			x.send(a)
		default:
			x.send(a)
		}
		return
	}
}

// send sends an answer as it is.
func (x *exchange) send(a answer) {
	body, err := a.encode(x.id)
	if err != nil {
		x.s.log.Error().Err(err).Msg("answer cannot be encoded")
		x.abort()
	}
	if a.allow != "" {
		x.w.Header().Set("Allow", a.allow)
	}
	x.write(a.status, body)
	if a.after != nil {
		if err := http.NewResponseController(x.w).Flush(); err != nil {
			x.s.log.Warn().Err(err).Msg("answer may not have gone out")
		}
		a.after()
	}
}

func (x *exchange) write(status int, body []byte) {
	if body != nil {
		x.w.Header().Set("Content-Type", "application/json")
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	x.w.WriteHeader(status)
	if _, err := x.w.Write(body); err != nil && body != nil {
		x.s.log.Debug().Err(err).Msg("client did not take its answer")
	}
}

// spoil takes the connection over and sends only some of the answer, or slowly.
func (x *exchange) spoil(f callFaults, a answer) {
	header, body := x.raw(a)
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.abort()
	}
	defer conn.Close()
	defer context.AfterFunc(x.s.life, func() { conn.Close() })()
	switch f.manner {
	case babble:
		send(conn, []byte("\x16\x03\x01no-HTTP\r\n\r\n"))
	case half:
		send(conn, firstHalf(header, body))
		untilClosed(conn)
	case trickle:
		x.trickle(conn, slices.Concat(header, body), f.every)
	case flood:
		pour(conn)
	}
}

// raw renders an answer as net/http would.
func (x *exchange) raw(a answer) (header, body []byte) {
	body, err := a.encode(x.id)
	if err != nil {
		x.abort()
	}
	header = fmt.Appendf(header, "HTTP/1.1 %d %s\r\nX-Request-Id: %s\r\n", a.status, http.StatusText(a.status), x.id)
	if body != nil {
		header = fmt.Appendf(header, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append(header, "\r\n"...), body
}

// firstHalf is the header and half of the body, or half of the header if that
// is all there is.
func firstHalf(header, body []byte) []byte {
	if len(body) == 0 {
		return header[:len(header)/2]
	}
	return slices.Concat(header, body[:len(body)/2])
}

// pour sends a body until the client has had enough.
func pour(conn net.Conn) {
	ok := send(conn, []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"))
	for block := bytes.Repeat([]byte("["), 4096); ok; {
		ok = send(conn, block)
	}
}

func (x *exchange) trickle(conn net.Conn, raw []byte, every time.Duration) {
	for i := range raw {
		if !send(conn, raw[i:i+1]) {
			return
		}
		select {
		case <-time.After(every):
		case <-x.s.life.Done():
			return
		}
	}
}

func send(conn net.Conn, b []byte) bool {
	_, err := conn.Write(b)
	return err == nil
}

// untilClosed reads, and ignores what it reads, until either end closes.
func untilClosed(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
