//go:build linux

package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// The end of a console is plain text of a bounded length, whatever the server has put in its place.
func TestConsole(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	name := prefix + "console"
	create(t, m, name)
	path := filepath.Join(m.zoneDir(name), zonedir.ConsoleFile)
	for what, c := range map[string]struct {
		put  func() error
		want string
		bad  bool
	}{
		"nothing":     {put: func() error { return nil }},
		"a console":   {put: func() error { return os.WriteFile(path, []byte("\x1b[1mup\r\n\xff"), 0o600) }, want: "?[1mup\n?"},
		"a long one":  {put: func() error { return os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<20), 0o600) }, want: strings.Repeat("x", 100)},
		"a link":      {put: func() error { return os.Symlink("/etc/hostname", path) }, bad: true},
		"a pipe":      {put: func() error { return syscall.Mkfifo(path, 0o600) }, bad: true},
		"a directory": {put: func() error { return os.Mkdir(path, 0o700) }, bad: true},
	} {
		if err := c.put(); err != nil {
			t.Fatal(err)
		}
		got, err := m.Console(ctxFor(t), name, 100)
		if string(got) != c.want || (err != nil) != c.bad {
			t.Errorf("%s: got %q, %v", what, got, err)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Console(ctxFor(t), "../"+name, 100); err == nil {
		t.Error("a zone of another directory has a console")
	}
}
