package evidence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zones is a zone.Inspector: inspect may hang.
type zones struct {
	pids    []int
	err     error
	inspect func(ctx context.Context, keep func(string, []byte)) error
}

func (z zones) Processes(context.Context, string, int) ([]int, error) { return z.pids, z.err }
func (z zones) Inspect(ctx context.Context, _ []int, keep func(string, []byte)) error {
	return z.inspect(ctx, keep)
}

func says(text string) zones {
	return zones{pids: []int{4711}, inspect: func(_ context.Context, keep func(string, []byte)) error {
		keep("processes.txt", []byte(text))
		return nil
	}}
}

func options(t *testing.T, z zones) Options {
	return Options{Dir: filepath.Join(t.TempDir(), "evidence"), MaxSize: 64 << 20, Keep: time.Hour, Zones: z, Log: zerolog.Nop()}
}

// opened returns a store that has looked for earlier collections.
func opened(t *testing.T, o Options) *Store {
	t.Helper()
	s := Open(o)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// collect makes a collection within a time.
func collect(t *testing.T, s *Store, id uuid.UUID, within time.Duration) Collected {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return s.Collect(ctx, Subject{ID: id, Zone: "z1", Files: []File{{"propolis.txt", []byte("200 Running\n")}}})
}

// contents are the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// All parts are kept: what is known, what the backend says, and what commands print.
func TestCollection(t *testing.T) {
	t.Parallel()
	o := options(t, says("4711 \x1b[2Jpropolis\xff\n"))
	o.Commands = [][]string{
		{"sh", "-c", "echo pid $0 zone $1 id $2; echo warned >&2; exit 3", "{pid}", "{zone}", "{id}"},
		{"no-such-program-here", "{pid}"},
		{"/bin/echo", "$(touch /tmp/x); *", "{zone}"},
	}
	s, id := opened(t, o), uuid.New()
	got := collect(t, s, id, time.Minute)
	if got.Err != nil || got.Files != 4 || got.Path != s.Path(id) || !strings.HasPrefix(filepath.Base(got.Path), id.String()+"-") {
		t.Fatalf("collected %+v, the path is %s", got, s.Path(id))
	}
	files := contents(t, got.Path)
	for name, want := range map[string]string{
		"propolis.txt":   "200 Running\n",
		"processes.txt":  "4711 ?[2Jpropolis?\n",
		"01-sh-4711.txt": "pid 4711 zone z1 id " + id.String() + "\n\nstandard error:\nwarned\n\nfailed: ",
		"03-echo.txt":    "$ /bin/echo $(touch /tmp/x); * z1\n$(touch /tmp/x); * z1\n",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s is %q, want %q in it", name, files[name], want)
		}
	}
	info, err := os.Stat(got.Path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	if s.Incomplete() != 0 {
		t.Errorf("%d are incomplete", s.Incomplete())
	}
	// The next agent finds it.
	again := Open(o)
	defer func() { _ = again.Close(t.Context()) }()
	for again.Path(id) == "" {
		time.Sleep(time.Millisecond) // sleep: a pause between polls
	}
	if again.Path(id) != got.Path {
		t.Errorf("the next agent finds %s, want %s", again.Path(id), got.Path)
	}
}

// A part that hangs costs neither the time of the caller nor the other parts, and what it
// says later is not kept.
func TestHungPart(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	z := says("")
	z.inspect = func(_ context.Context, keep func(string, []byte)) error {
		keep("processes.txt", []byte("before"))
		<-released // whatever becomes of ctx
		keep("stacks.txt", []byte("after"))
		return nil
	}
	o := options(t, z)
	o.Commands = [][]string{{"echo", "printed"}, {"sh", "-c", "echo begun; exec sleep 600"}}
	s, id := opened(t, o), uuid.New()
	got := collect(t, s, id, time.Second)
	if got.Err == nil || s.Incomplete() != 1 {
		t.Errorf("collected %+v, %d incomplete", got, s.Incomplete())
	}
	close(released)
	for len(s.places) > 0 {
		time.Sleep(time.Millisecond) // sleep: a pause between polls
	}
	files := contents(t, got.Path)
	if _, late := files["stacks.txt"]; late || files["processes.txt"] != "before" || files["propolis.txt"] == "" {
		t.Errorf("files are %q", files)
	}
	if !strings.Contains(files["01-echo.txt"], "printed") || !strings.Contains(files["02-sh.txt"], "begun\n") ||
		!strings.Contains(files["02-sh.txt"], "killed after") {
		t.Errorf("commands have left %q", files)
	}
}

// Collections that hang keep their places, so that there are never more, and further ones
// are given up in time.
func TestPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		z := says("")
		z.inspect = func(context.Context, func(string, []byte)) error {
			<-released
			return nil
		}
		s := opened(t, options(t, z))
		for range maxCollections + 3 {
			begun := time.Now()
			got := collect(t, s, uuid.New(), time.Second)
			if took := time.Since(begun); took != time.Second || got.Err == nil {
				t.Errorf("after %s: %+v", took, got)
			}
		}
		if n := len(s.places); n != maxCollections {
			t.Errorf("%d are under way", n)
		}
		if s.Incomplete() != maxCollections+3 {
			t.Errorf("%d are incomplete", s.Incomplete())
		}
		close(released)
		synctest.Wait()
		if len(s.places) != 0 {
			t.Error("places are not given back")
		}
		_ = s.Close(t.Context())
	})
}

// A collection that is not wanted any more is not counted.
func TestCanceled(t *testing.T) {
	t.Parallel()
	z := says("")
	z.inspect = func(ctx context.Context, _ func(string, []byte)) error {
		<-ctx.Done()
		return ctx.Err()
	}
	s := opened(t, options(t, z))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	time.AfterFunc(10*time.Millisecond, cancel)
	s.Collect(ctx, Subject{ID: uuid.New(), Zone: "z1"})
	for len(s.places) > 0 {
		time.Sleep(time.Millisecond) // sleep: a pause between polls
	}
	if s.Incomplete() != 0 {
		t.Errorf("%d are incomplete", s.Incomplete())
	}
	if left := contents(t, s.o.Dir); len(left) != 0 {
		t.Errorf("an empty collection is left: %q", left)
	}
}

// The limits of one collection, of all and of their age hold, also for those of an earlier
// agent; what is not a collection is left alone.
func TestLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := options(t, says(strings.Repeat("x", maxCollection)))
		o.MaxSize = 4 << 20
		old, other := uuid.New().String()+time.Now().Add(-2*time.Hour).UTC().Format(stamp), filepath.Join(o.Dir, "notes")
		if err := errors.Join(os.MkdirAll(filepath.Join(o.Dir, old), 0o700), os.WriteFile(other, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		s := opened(t, o)
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(o.Dir, old)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an old collection is left: %v", err)
		}
		var ids []uuid.UUID
		for range 7 {
			id := uuid.New()
			ids = append(ids, id)
			if got := collect(t, s, id, time.Minute); got.Files != 2 {
				t.Fatalf("collected %+v", got)
			}
			time.Sleep(time.Second)
		}
		var size int64
		left := 0
		for i, id := range ids {
			if path := s.Path(id); path != "" {
				left++
				size += sizeOf(path)
				if i < 3 {
					t.Errorf("an older one is left than the newest four: %d", i)
				}
			}
		}
		if size > o.MaxSize || left < 3 {
			t.Errorf("%d bytes in %d collections are kept", size, left)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if all := slices.Collect(func(yield func(string) bool) {
			for _, id := range ids {
				if p := s.Path(id); p != "" && !yield(p) {
					return
				}
			}
		}); len(all) > 0 {
			t.Errorf("after their time there are %q", all)
		}
		if names, err := os.ReadDir(o.Dir); err != nil || len(names) != 1 || names[0].Name() != "notes" {
			t.Errorf("left: %v, %v", names, err)
		}
		_ = s.Close(t.Context())
	})
}

// A directory that cannot be made loses collections, which says so and is counted.
func TestNoDirectory(t *testing.T) {
	t.Parallel()
	o := options(t, says("x"))
	if err := os.WriteFile(o.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, id := opened(t, o), uuid.New()
	if got := collect(t, s, id, time.Minute); got.Err == nil || got.Path != "" || s.Incomplete() != 1 || s.Path(id) != "" {
		t.Errorf("collected %+v, %d incomplete", got, s.Incomplete())
	}
}

// A backend that cannot list the processes loses only what needs them.
func TestUnlistedProcesses(t *testing.T) {
	t.Parallel()
	z := says("x")
	z.pids, z.err = nil, errors.New("pgrep hangs")
	o := options(t, z)
	o.Commands = [][]string{{"echo", "of", "{zone}"}, {"echo", "{pid}"}}
	s := opened(t, o)
	got := collect(t, s, uuid.New(), time.Minute)
	if got.Err == nil || !strings.Contains(got.Err.Error(), "pgrep hangs") || got.Files != 2 {
		t.Errorf("collected %+v", got)
	}
}

// Names of files are made of what the agent knows, never of what a zone says.
func TestFileNames(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{"pstack": "pstack", "/opt/my tools/../a b;c": "a_b_c", "..": "..", "x\n/y": "y"} {
		if got := fileName(program); got != want {
			t.Errorf("%q becomes %q, want %q", program, got, want)
		}
	}
	for _, name := range []string{"notes", uuid.NewString(), uuid.NewString() + "-20261301T000000.000Z",
		fmt.Sprintf("%036d-20261101T000000.000Z", 1)} {
		if e, ok := parse(name); ok {
			t.Errorf("%s is taken for %+v", name, e)
		}
	}
}

// A collection that is begun while earlier ones are looked for is one.
func TestFoundTwiceIsOne(t *testing.T) {
	t.Parallel()
	s := opened(t, options(t, says("x")))
	id := uuid.New()
	collect(t, s, id, time.Minute)
	s.find()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all[id]) != 1 {
		t.Errorf("the list has %+v", s.all[id])
	}
}
