package zonedir

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

func zoneRoot(t testing.TB) *os.Root {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, LogDir), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// Whatever the writes, the log keeps at most its limit and at least the last half of
// it.
func TestLogKeepsItsEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		root := zoneRoot(t)
		limit := rapid.Int64Range(20, 300).Draw(r, "limit")
		var all []byte
		for i := range rapid.IntRange(1, 4).Draw(r, "opens") {
			log, err := OpenLog(root, limit)
			if err != nil {
				r.Fatal(err)
			}
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 100), 0, 5).Draw(r, "writes") {
				data := bytes.Repeat(fmt.Appendf(nil, "%d", i), n)
				if got, err := log.Write(data); got != n || err != nil {
					r.Fatal(got, err)
				}
				all = append(all, data...)
			}
			if err := log.Close(); err != nil {
				r.Fatal(err)
			}
		}
		kept, err := Tail(root, 1<<20)
		if err != nil || !bytes.HasSuffix(all, kept) {
			r.Fatalf("%d bytes are kept, not the end of %d, %v", len(kept), len(all), err)
		}
		if n := int64(len(kept)); n > limit || n < min(limit/2, int64(len(all))) {
			r.Fatalf("%d bytes of %d are kept, limit %d", n, len(all), limit)
		}
		want := rapid.IntRange(-1, 400).Draw(r, "tail")
		tail, err := Tail(root, want)
		if err != nil || !bytes.HasSuffix(kept, tail) || len(tail) != min(max(want, 0), len(kept)) {
			r.Fatalf("tail of %d has %d bytes, %v", want, len(tail), err)
		}
	})
}

func TestTailDuringRotation(t *testing.T) {
	t.Parallel()
	root := zoneRoot(t)
	log, err := OpenLog(root, 200)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			_, _ = log.Write(fmt.Appendf(nil, "%09d\n", i))
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		if data, err := Tail(root, 1000); err != nil || len(data) > 200 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}
