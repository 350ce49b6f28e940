package qemu

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// The file has the end of the console, byte for byte, and a bounded size.
func TestKeeper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, ConsoleFile)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil { // It is replaced and not followed.
		t.Fatal(err)
	}
	c := newConsole()
	k := c.keep(dir, zerolog.Nop())
	var all []byte
	for i := range 5000 {
		line := fmt.Sprintf("\x1b[1m%d\xff\r\n", i)
		_, _ = c.Write([]byte(line))
		all = append(all, line...)
		if i%1000 != 999 {
			continue
		}
		k.flush()
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < min(len(all), maxHistory) || len(got) > 2*maxHistory || !bytes.HasSuffix(all, got) {
			t.Fatalf("of %d bytes, the file has %d", len(all), len(got))
		}
	}
	c.inherit(history{Kept: []byte("from elsewhere"), Written: 1 << 20})
	fmt.Fprint(c, ", and here")
	c.end()
	<-k.done
	if got, err := os.ReadFile(path); err != nil || string(got) != "from elsewhere, and here" {
		t.Errorf("got %.100q, %v", got, err)
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "other" {
		t.Errorf("the file behind a link has %q, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A disk that is full costs the guest nothing, and once it has room the file is whole again.
func TestKeeperRecovers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	var log bytes.Buffer
	c := newConsole()
	k := c.keep(dir, zerolog.New(&log))
	fmt.Fprint(c, "hello, ")
	k.flush()
	fmt.Fprint(c, "guest, ")
	k.flush()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "again")
	c.end()
	<-k.done
	if got, err := os.ReadFile(filepath.Join(dir, ConsoleFile)); err != nil || string(got) != "hello, guest, again" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := strings.Count(log.String(), "console is not kept"); n != 1 {
		t.Errorf("it is logged %d times: %s", n, log.String())
	}
}
