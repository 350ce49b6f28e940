package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/sledagent/sledagent/propolis/server"
)

// migrationProtocol is the WebSocket subprotocol of a migration. Its number changes when the frames
// do.
const migrationProtocol = "propolis-qemu-migration-1"

const (
	// connectBudget is how long a connection to the source may take.
	connectBudget = 10 * time.Second
	// stallBudget is how long nothing may arrive, a frame may take to be sent, and QEMU to read it.
	stallBudget = time.Minute
	// maxPiece is how much of QEMU's stream is in one frame, in bytes.
	maxPiece = 256 << 10
	// maxWhy is how much of the other side's reason is shown, in bytes.
	maxWhy = 1 << 10
)

// A word is what a text frame of a migration says. Binary frames are QEMU's stream, from the source
// to the target, between ready and loaded.
type word string

// The words, in order.
const (
	offered word = "offered" // source: this is the VM (Spec, Files)
	ready   word = "ready"   // target: a QEMU waits for the stream
	paused  word = "paused"  // source: the guest does not run any more
	loaded  word = "loaded"  // target: QEMU has the whole guest, which does not run
	yours   word = "yours"   // source: the guest never runs here again, unless the target refuses it (Console)
	running word = "running" // target: the guest runs here
	refused word = "refused" // target: the guest has not run here and never will (Why)
	failed  word = "failed"  // both, in place of any word before yours: it is over (Why)
)

// A message is a text frame of a migration.
type message struct {
	Word word `json:"word"`
	// Spec is the source's instance spec.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Files identify the files of the disks, by the names of their backends.
	Files map[string]string `json:"files,omitempty"`
	// Console is the history of com1.
	Console *history `json:"console,omitempty"`
	Why     string   `json:"why,omitempty"`
}

// A link is the connection between the two sides of a migration. An error breaks it.
type link struct {
	conn *websocket.Conn
}

// dial asks a source for a VM.
func dial(ctx context.Context, e *server.Ensured) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectBudget)
	defer cancel()
	url := fmt.Sprintf("http://%s/instance/migrate/%s/start", e.Source, e.Migration)
	conn, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		HTTPHeader:   http.Header{"Api-Version": {server.NewestVersion}},
		Subprotocols: []string{migrationProtocol}})
	if err != nil && answer != nil {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, maxWhy))
		err = fmt.Errorf("%w: %q", err, why)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s for the VM: %w", e.Source, err)
	}
	conn.SetReadLimit(server.MaxMigrationFrame)
	return &link{conn}, nil
}

func (l *link) close() { _ = l.conn.CloseNow() } // It may have been closed.

// tell sends a message.
func (l *link) tell(ctx context.Context, m message) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = l.write(ctx, websocket.MessageText, text)
	}
	if err != nil {
		return fmt.Errorf("tell the other side %q: %w", m.Word, err)
	}
	return nil
}

// tellFailure tells the other side why the migration has failed, if it still listens, even if ctx
// has ended.
func (l *link) tellFailure(ctx context.Context, w word, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	text := why.Error()
	_ = l.tell(ctx, message{Word: w, Why: text[:min(len(text), maxWhy)]})
}

func (l *link) write(ctx context.Context, kind websocket.MessageType, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, stallBudget)
	defer cancel()
	return l.conn.Write(ctx, kind, data)
}

// hear waits for the next message. Each frame must arrive within a time. Pieces of QEMU's stream go
// to stream; they are an error if it is nil.
func (l *link) hear(ctx context.Context, within time.Duration, stream net.Conn) (m message, err error) {
	for {
		kind, data, err := l.read(ctx, within)
		switch {
		case err != nil:
			return m, fmt.Errorf("hear from the other side: %w", err)
		case kind == websocket.MessageText:
			err = json.Unmarshal(data, &m)
			if err == nil && m.Word == failed {
				err = errors.New("the other side: " + m.Why[:min(len(m.Why), maxWhy)])
			}
			return m, err
		case stream == nil:
			return m, errors.New("hear from the other side: a piece of QEMU's stream at the wrong time")
		}
		if err := pour(stream, data); err != nil {
			return m, fmt.Errorf("give QEMU the stream: %w", err)
		}
	}
}

// pour writes a piece of the stream. A QEMU that does not read it in time never will.
func pour(stream net.Conn, piece []byte) error {
	if err := stream.SetWriteDeadline(time.Now().Add(stallBudget)); err != nil {
		return err
	}
	_, err := stream.Write(piece)
	return err
}

func (l *link) read(ctx context.Context, within time.Duration) (websocket.MessageType, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return l.conn.Read(ctx)
}

// discard reads whatever arrives until the other side closes the link.
func (l *link) discard(ctx context.Context) {
	for {
		if _, _, err := l.read(ctx, stallBudget); err != nil {
			return
		}
	}
}

// expect is hear for one word.
func (l *link) expect(ctx context.Context, within time.Duration, want word) (message, error) {
	m, err := l.hear(ctx, within, nil)
	if err == nil && m.Word != want {
		err = fmt.Errorf("the other side says %q, want %q", m.Word, want)
	}
	return m, err
}

// send sends QEMU's stream until its end.
func (l *link) send(ctx context.Context, stream io.Reader) error {
	for buf := make([]byte, maxPiece); ; {
		n, err := stream.Read(buf)
		if n > 0 {
			if err := l.write(ctx, websocket.MessageBinary, buf[:n]); err != nil {
				return fmt.Errorf("send QEMU's stream: %w", err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read QEMU's stream: %w", err)
		}
	}
}
