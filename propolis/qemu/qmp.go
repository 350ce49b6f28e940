package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxLine is the longest line that QEMU may send. Those of the commands and events used here
// have a few hundred bytes.
const maxLine = 64 << 10

// errQMPClosed: QEMU has ended, or sent something that is not QMP.
var errQMPClosed = errors.New("QEMU's control connection is closed")

// A qmpEvent is an event of QEMU's machine protocol.
type qmpEvent struct {
	Name string `json:"event"`
	Data struct {
		Guest  bool   `json:"guest"`
		Reason string `json:"reason"`
		Device string `json:"device"`
		Error  string `json:"error"`
		Status string `json:"status"`
	} `json:"data"`
}

// A qmpClient speaks QEMU's machine protocol over one connection. Commands may be executed from
// several goroutines; a slow answer to one does not delay the others.
type qmpClient struct {
	conn net.Conn
	// turn has one token, for the caller that may write.
	turn chan struct{}
	// done is closed when nothing more is read. broken is why.
	done   chan struct{}
	broken error

	mu      sync.Mutex
	last    uint64 // number of the last command
	pending map[uint64]chan<- qmpAnswer
}

type qmpAnswer struct {
	Return json.RawMessage `json:"return"`
	Error  *qmpError       `json:"error"`
}

// A qmpError is QEMU's refusal of a command, which it has not carried out.
type qmpError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *qmpError) Error() string { return e.Class + ": " + e.Desc }

// A qmpCommand may have arguments, and a file for QEMU.
type qmpCommand struct {
	name      string
	arguments any
	file      *os.File
}

// newQMP starts to read. It calls on for each event, which must not wait for a command. The
// client ends with the connection.
func newQMP(conn net.Conn, on func(qmpEvent)) *qmpClient {
	q := &qmpClient{conn: conn, turn: make(chan struct{}, 1), done: make(chan struct{}), pending: map[uint64]chan<- qmpAnswer{}}
	go func() {
		defer close(q.done)
		q.broken = q.read(on)
		conn.Close()
	}()
	return q
}

func (q *qmpClient) read(on func(qmpEvent)) error {
	lines := bufio.NewScanner(q.conn)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for lines.Scan() {
		var line struct {
			ID uint64 `json:"id"`
			qmpEvent
			qmpAnswer
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%w: read: %w", errQMPClosed, err)
		}
		switch {
		case line.Name != "":
			on(line.qmpEvent)
		case line.ID != 0: // The greeting has neither.
			if answer := q.take(line.ID); answer != nil {
				answer <- line.qmpAnswer
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: read: %w", errQMPClosed, err)
	}
	return errQMPClosed
}

// take returns the channel of a pending command, which is not pending any more; nil if it was
// abandoned.
func (q *qmpClient) take(id uint64) chan<- qmpAnswer {
	q.mu.Lock()
	defer q.mu.Unlock()
	answer := q.pending[id]
	delete(q.pending, id)
	return answer
}

// do executes a command within a budget. arguments may be nil.
func (q *qmpClient) do(ctx context.Context, budget time.Duration, command string, arguments any) error {
	_, err := q.ask(ctx, budget, qmpCommand{name: command, arguments: arguments})
	return err
}

// ask is do with QEMU's answer.
func (q *qmpClient) ask(ctx context.Context, budget time.Duration, c qmpCommand) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	answer, err := q.exchange(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("QEMU's %s: %w", c.name, err)
	}
	return answer, nil
}

func (q *qmpClient) exchange(ctx context.Context, c qmpCommand) (json.RawMessage, error) {
	answer := make(chan qmpAnswer, 1)
	q.mu.Lock()
	q.last++
	id := q.last
	q.pending[id] = answer
	q.mu.Unlock()
	defer q.take(id)
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        uint64 `json:"id"`
	}{c.name, c.arguments, id})
	if err != nil {
		return nil, err
	}
	if err := q.write(ctx, append(line, '\n'), c.file); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		if a.Error != nil {
			return nil, a.Error
		}
		return a.Return, nil
	case <-q.done:
		return nil, q.broken
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *qmpClient) write(ctx context.Context, line []byte, file *os.File) error {
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-q.turn }()
	deadline, _ := ctx.Deadline()
	if err := q.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	err := send(q.conn, line, file)
	if err != nil {
		q.conn.Close() // Half a line may have been written.
	}
	return err
}

// send sends a line, and a file with it unless it is nil.
func send(conn net.Conn, line []byte, file *os.File) error {
	if file == nil {
		_, err := conn.Write(line)
		return err
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("a file cannot be sent over %T", conn)
	}
	n, _, err := socket.WriteMsgUnix(line, syscall.UnixRights(int(file.Fd())), nil)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}
