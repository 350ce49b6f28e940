package admintest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
)

// ShortPath returns a path for a socket, and what removes its directory. A socket's path is
// limited to about 100 characters, and that of t.TempDir contains the test's name.
func ShortPath() (path string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "adm")
	return filepath.Join(dir, "a"), func() { _ = os.RemoveAll(dir) }, err
}

// Socket is ShortPath for a test.
func Socket(t testing.TB) string {
	t.Helper()
	path, remove, err := ShortPath()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	return path
}

// Start serves the admin API of an agent on a socket until stop is called.
func Start(agent admin.Agent, socket string, o admin.Options) (stop func() error, err error) {
	l, err := admin.Listen(socket)
	if err != nil {
		return nil, err
	}
	server, served := admin.New(agent, o), make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return errors.Join(server.Shutdown(ctx), <-served)
	}), nil
}

// Serve is Start for a test, whose end calls stop as well.
func Serve(t testing.TB, agent admin.Agent, socket string, o admin.Options) (stop func()) {
	t.Helper()
	end, err := Start(agent, socket, o)
	if err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := end(); err != nil {
			t.Errorf("serve the admin API: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}
