package disposition

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A clock is a boot clock that a test sets.
type clock struct {
	now  time.Duration
	boot string
}

func (c *clock) Now() time.Duration    { return c.now }
func (c *clock) Boot() (string, error) { return c.boot, nil }

func newClock() *clock {
	return &clock{now: time.Hour, boot: "0a2e2f1e-9f62-4a4b-8d6a-3c1f0b7e5a11"}
}

const otherBoot = "7d7c7e9e-1111-4a4b-8d6a-3c1f0b7e5a11"

func config(generation uint64, value Value, body string) Config {
	return Config{Generation: generation, Disposition: value, APIVersion: 54, Body: json.RawMessage(body)}
}

// drain drains the sled and writes that.
func drain(ctx context.Context, s *Store, by string, grace time.Duration) error {
	s.Begin(by, grace)
	return s.Save(ctx)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Either party evacuates the sled, and each only lifts its own word. All of it outlives the
// process.
func TestEitherEvacuates(t *testing.T) {
	t.Parallel()
	dir, ctx, c := t.TempDir(), t.Context(), newClock()
	s := Open(dir, c)
	want := func(value Value) {
		t.Helper()
		for _, s := range []*Store{s, Open(dir, c)} {
			if now := s.State(); now.Value() != value || (now.Why() == "") != (value == Available) || len(now.Troubles()) > 0 {
				t.Errorf("the sled is %s: %s %v, want %s", now.Value(), now.Why(), now.Troubles(), value)
			}
		}
	}
	want(Available)
	must(t, drain(ctx, s, "operator", time.Minute))
	want(Evacuating)
	must(t, s.Configure(ctx, config(1, Evacuating, `{}`)))
	must(t, s.Undrain(ctx))
	want(Evacuating)
	must(t, s.Configure(ctx, config(2, Available, `{}`)))
	want(Available)
	must(t, drain(ctx, s, "operator", time.Minute))
	must(t, s.Configure(ctx, config(3, Available, `{}`)))
	want(Evacuating)
	must(t, s.Undrain(ctx))
	must(t, s.Undrain(ctx))
	want(Available)
}

// A repeated drain brings the deadline forward and never pushes it back. The deadline
// outlives the process, not the boot.
func TestDeadline(t *testing.T) {
	t.Parallel()
	dir, ctx, c := t.TempDir(), t.Context(), newClock()
	s := Open(dir, c)
	left := func(want time.Duration) {
		t.Helper()
		for _, s := range []*Store{s, Open(dir, c)} {
			if got := s.Remaining(s.State().Operator); got != want {
				t.Errorf("%s are left, want %s", got, want)
			}
		}
	}
	must(t, drain(ctx, s, "operator", 10*time.Minute))
	since := s.State().Operator.Since
	left(10 * time.Minute)
	c.now += time.Minute
	left(9 * time.Minute)
	must(t, drain(ctx, s, "nobody", time.Hour))
	left(9 * time.Minute)
	must(t, drain(ctx, s, "nobody", time.Minute))
	left(time.Minute)
	if d := s.State().Operator; d.By != "operator" || !d.Since.Equal(since) || d.Grace != time.Minute {
		t.Errorf("the drain is %+v", d)
	}
	c.now += time.Hour
	left(0)
	c.now, c.boot = time.Second, otherBoot
	left(0)
	must(t, drain(ctx, s, "operator", time.Minute))
	left(time.Minute)
}

func TestStaleConfigurations(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), t.Context()
	s := Open(dir, newClock())
	first := config(7, Evacuating, `{"a": "<1>", "big": 18446744073709551615, "z":1, "b":[1.0]}`)
	must(t, s.Configure(ctx, first))
	for _, s := range []*Store{s, Open(dir, newClock())} {
		older := first
		older.APIVersion = 48
		for name, c := range map[string]Config{
			"older":                        config(6, Available, `{}`),
			"of the same generation":       config(7, Evacuating, `{}`),
			"of another disposition":       config(7, Available, string(first.Body)),
			"in the shape of an older API": older,
			"with another number":          config(7, Evacuating, strings.Replace(string(first.Body), "615", "616", 1)),
			"with a number in another way": config(7, Evacuating, strings.Replace(string(first.Body), "1.0", "1", 1)),
		} {
			err := s.Configure(ctx, c)
			if _, ok := errors.AsType[*StaleError](err); !ok {
				t.Errorf("a configuration %s is answered with %v", name, err)
			}
		}
		must(t, s.Configure(ctx, config(7, Evacuating, `{"z":1,"b":[1.0],"a":"<1>","big":18446744073709551615}`)))
		if now := s.State().Config; now.Generation != 7 || !sameJSON(now.Body, first.Body) {
			t.Errorf("kept: %s", now.Body)
		}
	}
	newer := first
	newer.APIVersion, newer.Body = 55, json.RawMessage(`{"new":true}`)
	must(t, s.Configure(ctx, newer))
	if got := Open(dir, newClock()).State().Config; got.APIVersion != 55 || string(got.Body) != `{"new":true}` {
		t.Errorf("kept: %+v", got)
	}
}

// What cannot be read counts as evacuated, and the party whose word it holds replaces it.
func TestUnreadableFiles(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(string) error{
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"torn":        func(path string) error { return os.WriteFile(path, []byte(`{"by":"oper`), 0o600) },
		"null":        func(path string) error { return os.WriteFile(path, []byte(`null`), 0o600) },
		"no members":  func(path string) error { return os.WriteFile(path, []byte(`{}`), 0o600) },
		"wrong type":  func(path string) error { return os.WriteFile(path, []byte(`{"by":1,"generation":"x"}`), 0o600) },
		"huge":        func(path string) error { return os.WriteFile(path, make([]byte, maxFile+1), 0o600) },
		"a link":      func(path string) error { return os.Symlink("/dev/zero", path) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		for _, file := range []string{operatorFile, configFile} {
			t.Run(file+" is "+name, func(t *testing.T) {
				t.Parallel()
				dir, ctx := t.TempDir(), t.Context()
				must(t, spoil(filepath.Join(dir, file)))
				s := Open(dir, newClock())
				now := s.State()
				if now.Value() != Evacuating || len(now.Troubles()) != 1 || !strings.Contains(now.Why(), file) {
					t.Fatalf("%s: %s, %v", now.Value(), now.Why(), now.Troubles())
				}
				if now.Operator != nil {
					t.Errorf("a drain was made up: %+v", now.Operator)
				}
				if name == "a directory" {
					return // the operator removes it
				}
				if file == operatorFile {
					must(t, s.Undrain(ctx))
				} else {
					must(t, s.Configure(ctx, config(1, Available, `{}`)))
				}
				for _, s := range []*Store{s, Open(dir, newClock())} {
					if now := s.State(); now.Value() != Available || len(now.Troubles()) > 0 {
						t.Errorf("after it was replaced the sled is %s: %s", now.Value(), now.Why())
					}
				}
			})
		}
	}
}

// A drain is in force though it cannot be written, and is written later. Nothing else
// changes that cannot be written.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	dir, ctx := filepath.Join(t.TempDir(), "state"), t.Context()
	s := Open(dir, newClock())
	if err := s.Configure(ctx, config(1, Evacuating, `{}`)); err == nil || s.State().Config != nil {
		t.Errorf("a configuration was kept: %v", err)
	}
	if err := drain(ctx, s, "operator", time.Minute); err == nil {
		t.Error("the drain was written")
	}
	if now := s.State(); now.Value() != Evacuating || len(now.Troubles()) != 1 {
		t.Errorf("%s, %v", now.Value(), now.Troubles())
	}
	if err := s.Undrain(ctx); err == nil || s.State().Value() != Evacuating {
		t.Errorf("undrained: %v", err)
	}
	if err := s.Save(ctx); err == nil {
		t.Error("the drain was written")
	}
	must(t, os.Mkdir(dir, 0o700))
	must(t, s.Save(ctx))
	if now := Open(dir, newClock()).State(); now.Value() != Evacuating || len(now.Troubles()) > 0 || len(s.State().Troubles()) > 0 {
		t.Errorf("%s, %v", now.Value(), s.State().Troubles())
	}
}

// A disk that hangs delays the caller by its context, and takes one goroutine.
func TestHangingDisk(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir(), newClock())
	s.writing <- struct{}{} // a write that hangs
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := drain(ctx, s, "operator", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
	if now := s.State(); now.Value() != Evacuating || now.Unsaved == "" {
		t.Errorf("the drain is not in force: %+v", now)
	}
	if err := s.Configure(ctx, config(1, Evacuating, `{}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("configure: %v", err)
	}
	<-s.writing
	must(t, s.Save(t.Context()))
	if now := s.State(); now.Unsaved != "" {
		t.Errorf("still unsaved: %s", now.Unsaved)
	}
}

// A drain that is requested while an undrain is being written stays.
func TestDrainDuringUndrain(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"shorter": time.Minute, "the same": time.Hour, "longer": 2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drainDuringUndrain(t, grace)
		})
	}
}

func drainDuringUndrain(t *testing.T, grace time.Duration) {
	t.Helper()
	dir := t.TempDir()
	s := Open(dir, newClock())
	must(t, drain(t.Context(), s, "operator", time.Hour))
	s.writing <- struct{}{} // the disk is busy
	undrained, was := make(chan error, 1), s.State().Operator
	go func() { undrained <- s.undrain(context.WithoutCancel(t.Context()), was) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = drain(ctx, s, "operator", grace) // it is in force, and not written
	<-s.writing
	must(t, <-undrained)
	if now := s.State(); now.Value() != Evacuating || now.Unsaved != "" {
		t.Fatalf("the newer drain has ended or is not on disk: %+v", now)
	}
	if d := Open(dir, newClock()).State().Operator; d == nil || d.Grace != min(grace, time.Hour) {
		t.Errorf("the file has %+v", d)
	}
}
