package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

const (
	// escape is the key that leaves a console: Ctrl-], as in telnet.
	escape = 0x1d
	// recentConsole is how much of a console is shown first, in bytes, and wholeConsole how
	// much with --history. A server keeps about as much.
	recentConsole = 4 << 10
	wholeConsole  = 64 << 10
)

func (a *app) consoleCommand() *cobra.Command {
	var history bool
	cmd := a.onVMM(&cobra.Command{
		Use:   "console ID",
		Short: "Use a VMM's serial console",
		Long: `Connect this terminal to the guest's first serial port, beginning with the last
4 KiB that it has shown. Every key goes to the guest but Ctrl-], which leaves the
console; what happens in the guest goes on. The command also ends when the VM ends,
and at the end of its input if that is not a terminal.

With --history, print the last 64 KiB and end.

What a guest writes is passed on as it is: it can change the terminal's settings.`,
		Example: `  sledctl vmm console 81bc22de
  sledctl vmm console 81bc22de --history | tail -20`,
	}, 0, a.resolve, func(ctx context.Context, id uuid.UUID) error {
		if history {
			return a.within(ctx, requestTimeout, func(ctx context.Context) error {
				text, err := a.admin.SerialHistory(ctx, id, wholeConsole)
				if err == nil {
					_, err = a.Out.Write(text)
				}
				return err
			})
		}
		return a.console(ctx, id)
	})
	cmd.Flags().BoolVar(&history, "history", false, "print what the console has shown, and end")
	return cmd
}

// console connects the input and the output to a VMM's console.
func (a *app) console(ctx context.Context, id uuid.UUID) error {
	conn, err := a.admin.Serial(ctx, id, recentConsole)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	a.say("console of VMM %s; leave it with Ctrl-]\n", id)
	if a.Raw != nil {
		restore, err := a.Raw()
		if err != nil {
			return fmt.Errorf("set the terminal's mode: %w", err)
		}
		defer restore()
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	go func() {
		if a.send(ctx, conn) {
			leave(errLeft)
		}
	}()
	err = a.showConsole(ctx, conn)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLeft):
		_ = conn.Close(websocket.StatusNormalClosure, "")
		return nil
	case cause != nil:
		return cause
	}
	if closed, ok := errors.AsType[websocket.CloseError](err); ok {
		a.say("\r\nthe console was closed: %s\r\n", closed.Reason)
		return nil
	}
	return fmt.Errorf("console of VMM %s: %w", id, err)
}

// errLeft: the user has left the console.
var errLeft = errors.New("left the console")

// showConsole writes what the console shows, until the connection ends.
func (a *app) showConsole(ctx context.Context, conn *websocket.Conn) error {
	for {
		kind, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageBinary {
			continue // a note of the server's, such as that the VM migrates
		}
		if _, err := a.Out.Write(text); err != nil {
			return err
		}
	}
}

// send sends the input to the console. It reports whether the input or the escape key ended
// that, and not the connection.
func (a *app) send(ctx context.Context, conn *websocket.Conn) (left bool) {
	for typed := make([]byte, 4<<10); ; {
		n, err := a.In.Read(typed)
		text, _, left := bytes.Cut(typed[:n], []byte{escape})
		if len(text) > 0 {
			if conn.Write(ctx, websocket.MessageBinary, text) != nil {
				return false
			}
		}
		if left || err != nil {
			return true
		}
	}
}
