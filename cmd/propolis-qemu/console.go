package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const consoleLong = `Connects this terminal with the console com1 of the VM that a server has at
ADDR:PORT, from its last 64 KiB on, until Ctrl-] is typed or the VM ends. Works
with any Propolis server.`

// escape is what ends a connection from a terminal: Ctrl-].
const escape = 0x1d

// dialBudget is how long the server may take to answer.
const dialBudget = 10 * time.Second

func consoleCommand() *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:     "console [flags] ADDR:PORT",
		Short:   "Connect this terminal with a VM's console",
		Long:    consoleLong,
		Example: "  propolis-qemu console 127.0.0.1:12400",
		Args:    oneAddress,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return attach(ctx, args[0], version)
		},
	}
	cmd.Flags().StringVar(&version, "api-version", "6.0.0", "the API version to ask for")
	return cmd
}

func attach(ctx context.Context, addr, version string) error {
	if err := checkAddr(addr); err != nil {
		return usageError{err}
	}
	conn, err := dialConsole(ctx, addr, version)
	if err != nil {
		return fmt.Errorf("connect with console at %s: %w", addr, err)
	}
	defer conn.CloseNow()
	stdin := int(os.Stdin.Fd())
	if term.IsTerminal(stdin) {
		before, err := term.MakeRaw(stdin)
		if err != nil {
			return fmt.Errorf("set up terminal: %w", err)
		}
		defer func() { _ = term.Restore(stdin, before) }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		if sendInput(ctx, conn, os.Stdin, term.IsTerminal(stdin)) {
			cancel()
		}
	}()
	err = showOutput(ctx, conn, os.Stdout)
	if ctx.Err() != nil || websocket.CloseStatus(err) == websocket.StatusNormalClosure {
		return nil
	}
	return fmt.Errorf("read console at %s: %w", addr, err)
}

func dialConsole(ctx context.Context, addr, version string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialBudget)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+addr+"/instance/serial?from_start=0",
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{}}, HTTPHeader: http.Header{"Api-Version": {version}}})
	return conn, err
}

// sendInput sends what is typed. It returns true if the user wants to leave; the end of a file is not that.
func sendInput(ctx context.Context, conn *websocket.Conn, in io.Reader, terminal bool) bool {
	for buf := make([]byte, 1<<10); ; {
		n, err := in.Read(buf)
		for i, b := range buf[:n] {
			if terminal && b == escape {
				n, err = i, io.EOF
				break
			}
		}
		if n > 0 && conn.Write(ctx, websocket.MessageBinary, buf[:n]) != nil {
			return true
		}
		if err != nil {
			return terminal || !errors.Is(err, io.EOF)
		}
	}
}

func showOutput(ctx context.Context, conn *websocket.Conn, out io.Writer) error {
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if _, err := out.Write(frame); err != nil {
			return err
		}
	}
}
