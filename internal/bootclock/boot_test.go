package bootclock

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// dirEnv makes the test binary print the id that it finds or makes in a directory.
const dirEnv = "BOOTCLOCK_TEST_DIR"

// The id is read until that has succeeded once. A failed read returns no id.
func TestFailedReadIsRepeated(t *testing.T) {
	t.Parallel()
	reads, broken := 0, errors.New("no /proc")
	h := &host{read: func() (string, error) {
		if reads++; reads < 4 {
			return "half an id", broken
		}
		return "the id", nil
	}}
	for range 3 {
		if id, err := h.Boot(); id != "" || !errors.Is(err, broken) {
			t.Errorf("%q, %v", id, err)
		}
	}
	for range 3 {
		if id, err := h.Boot(); id != "the id" || err != nil {
			t.Errorf("%q, %v", id, err)
		}
	}
	if reads != 4 {
		t.Errorf("read %d times", reads)
	}
}

// Concurrent first reads return the same id.
func TestConcurrentReadsAgree(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	n := 0
	h := &host{read: func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return strings.Repeat("x", n), nil
	}}
	ids := make(chan string, 50)
	for range cap(ids) {
		go func() {
			id, _ := h.Boot()
			ids <- id
		}()
	}
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Errorf("%q and %q", first, id)
		}
	}
}

func TestDiffer(t *testing.T) {
	t.Parallel()
	a, b := "0d1b26e8-3c1f-4f16-a2a1-3bb6e55e0b5f", "5b9a40b2-58a8-4e66-9ab5-9fbb2d2f2d0e"
	tests := []struct {
		a, b   string
		differ bool
	}{
		{a, b, true}, {a, a, false}, {"file:" + a, "file:" + b, true}, {"file:" + a, "file:" + a, false},
		{a, "", false}, {"", "", false}, {"", "file:" + a, false},
		{"unknown", a, false}, {"unknown", "unknown", false}, {"unknown", "file:" + a, false},
		{"1767225600", "file:" + a, false}, {"1767225600", a, false}, {"536454000", "1767225600", false},
		{a, "file:" + a, false}, {a, "file:" + b, false}, {"other:1", "other:2", true},
	}
	for _, tt := range tests {
		if Differ(tt.a, tt.b) != tt.differ || Differ(tt.b, tt.a) != tt.differ {
			t.Errorf("%q and %q: %t", tt.a, tt.b, !tt.differ)
		}
	}
}

func TestKernelsIDs(t *testing.T) {
	t.Parallel()
	const good = "0d1b26e8-3c1f-4f16-a2a1-3bb6e55e0b5f"
	if id, err := parseKernel(good + "\n"); id != good || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	for _, text := range []string{"", "\n", good[:20], "unknown", "00000000-0000-0000-0000-000000000000", strings.Repeat("x", 1<<20)} {
		if id, err := parseKernel(text); id != "" || err == nil || len(err.Error()) > 300 {
			t.Errorf("%.40q: %q, %.400v", text, id, err)
		}
	}
}

// Several processes start at once in a directory without a file.
func TestProcessesAgreeOnTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said := make(chan string, 16)
	for range cap(said) {
		go func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), sayEnv+"=1", dirEnv+"="+dir, "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			if err != nil {
				out = append(out, err.Error()...)
			}
			said <- string(out)
		}()
	}
	first := <-said
	if !strings.HasPrefix(first, fileScheme) || !strings.HasSuffix(first, " <nil>\n") {
		t.Errorf("%q", first)
	}
	for range cap(said) - 1 {
		if s := <-said; s != first {
			t.Errorf("%q and %q", first, s)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != fileName {
		t.Errorf("left behind: %v, %v", files, err)
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// A boot empties the directory.
func TestAnEmptiedDirectoryIsAnotherBoot(t *testing.T) {
	t.Parallel()
	first, err1 := fileID(t.TempDir())
	second, err2 := fileID(t.TempDir())
	if err1 != nil || err2 != nil || !Differ(first, second) {
		t.Errorf("%q, %v; %q, %v", first, err1, second, err2)
	}
}

// A file that is not an id is an error, is not replaced and does not block.
func TestInvalidFileIsAnError(t *testing.T) {
	t.Parallel()
	good := []byte("0d1b26e8-3c1f-4f16-a2a1-3bb6e55e0b5f\n")
	put := func(text []byte, mode os.FileMode) func(string) error {
		return func(path string) error {
			if err := os.WriteFile(path, text, mode); err != nil {
				return err
			}
			return os.Chmod(path, mode)
		}
	}
	tests := map[string]func(path string) error{
		"empty":               put(nil, 0o600),
		"cut short":           put(good[:30], 0o600),
		"without its end":     put(good[:36], 0o600),
		"too long":            put(append(good, make([]byte, 1000)...), 0o600),
		"of a number":         put([]byte("1767225600\n"), 0o600),
		"writable for others": put(good, 0o622),
		"directory":           func(path string) error { return os.Mkdir(path, 0o700) },
		"FIFO":                func(path string) error { return unix.Mkfifo(path, 0o600) },
		"symbolic link": func(path string) error {
			if err := os.WriteFile(path+".x", good, 0o600); err != nil {
				return err
			}
			return os.Symlink(path+".x", path)
		},
		"dangling link": func(path string) error { return os.Symlink(path+".x", path) },
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), fileName)
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			if id, err := fileID(filepath.Dir(path)); id != "" || err == nil {
				t.Errorf("%q, %v", id, err)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("replaced: %v, %v", after, err)
			}
		})
	}
	if id, err := fileID(filepath.Join(t.TempDir(), "none")); id != "" || err == nil {
		t.Errorf("no directory: %q, %v", id, err)
	}
}
