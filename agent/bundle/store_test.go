package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/pelletier/go-toml/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/agent/vmm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zoneName = "oxz_propolis-server_e8e95a60-2aaf-4453-90e4-e0e58f126762"

// bubble runs a test with a store in dir that has looked for bundles.
func bubble(t *testing.T, dir string, test func(t *testing.T, s *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := Open(dir, zerolog.Nop())
		defer func() {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		test(t, s)
	})
}

// add makes a bundle and returns its metadata.
func add(t *testing.T, s *Store, e Evidence) Metadata {
	t.Helper()
	before, _ := s.List()
	s.Add(e)
	synctest.Wait()
	for _, m := range list(t, s) {
		if !slices.Contains(before, m) {
			return m
		}
	}
	t.Fatalf("no bundle was made, %d are lost", s.Lost())
	return Metadata{}
}

func list(t *testing.T, s *Store) []Metadata {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// files are the names below a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); name != "." {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestABundle(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bundles")
	var made Metadata
	bubble(t, dir, func(t *testing.T, s *Store) {
		made = add(t, s, Evidence{Zone: zoneName, Cause: TerminatedInstance, Log: []byte("it panicked\n"), Console: []byte("panic\n"),
			Status: &vmm.Status{Hostname: "demo", Events: []vmm.Event{{Kind: "kill"}}}})
		if made.ID.Zone != zoneName || made.Cause != TerminatedInstance || made.Version != 0 || !made.Created.Equal(time.Now()) {
			t.Errorf("the metadata is %+v", made)
		}
	})
	bubble(t, dir, func(t *testing.T, s *Store) {
		if diff := cmp.Diff([]Metadata{made}, list(t, s)); diff != "" {
			t.Errorf("after a restart (-want +got):\n%s", diff)
		}
		content, size, err := s.Read(made.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		if used, err := s.Used(); err != nil || used != size || size == 0 {
			t.Errorf("%d bytes are used, %v; the bundle has %d", used, err, size)
		}
		got := extract(t, content)
		var head map[string]any
		if err := toml.Unmarshal([]byte(got["metadata.toml"]), &head); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"id": map[string]any{"zone_name": zoneName, "bundle_id": made.ID.Bundle.String()},
			"version": int64(0), "cause": "terminated_instance", "time_created": made.Created.Format(time.RFC3339Nano)}
		if diff := cmp.Diff(want, head); diff != "" {
			t.Errorf("metadata.toml (-want +got):\n%s", diff)
		}
		var status vmm.Status
		if err := json.Unmarshal([]byte(got["status.json"]), &status); err != nil || status.Hostname != "demo" || len(status.Events) != 1 {
			t.Errorf("status.json is %s, %v", got["status.json"], err)
		}
		if got["server.log"] != "it panicked\n" || got["console.log"] != "panic\n" {
			t.Errorf("server.log is %q, console.log %q", got["server.log"], got["console.log"])
		}
		if err := s.Delete(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), made.ID); !errors.Is(err, ErrUnknown) {
			t.Errorf("the second deletion: %v", err)
		}
		if _, _, err := s.Read(made.ID); !errors.Is(err, ErrUnknown) {
			t.Errorf("reading a deleted bundle: %v", err)
		}
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// What was collected before the end is part of the bundle: regular files alone, and no more
// than there is room for.
func TestCollected(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	err := errors.Join(os.WriteFile(filepath.Join(dir, "processes.txt"), []byte("one"), 0o600), os.WriteFile(elsewhere, []byte("secret"), 0o600),
		os.Symlink(elsewhere, filepath.Join(dir, "link.txt")), unix.Mkfifo(filepath.Join(dir, "fifo.txt"), 0o600),
		os.Mkdir(filepath.Join(dir, "dir.txt"), 0o700), os.WriteFile(filepath.Join(dir, "zz.txt"), make([]byte, maxCollected), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{dir, filepath.Join(dir, "absent")} {
		var packed bytes.Buffer
		if err := pack(&packed, Metadata{Cause: Other}, Evidence{Zone: zoneName, Log: []byte("log"), Dir: from}); err != nil {
			t.Fatal(err)
		}
		got := extract(t, &packed)
		if got["server.log"] != "log" {
			t.Errorf("%s: %d files", from, len(got))
		}
		if from != dir {
			continue
		}
		if got["evidence/processes.txt"] != "one" || len(got["evidence/zz.txt"]) != maxCollected-len("one") || len(got) != 4 {
			t.Errorf("there are %d files, and processes.txt is %q", len(got), got["evidence/processes.txt"])
		}
	}
}

// extract returns the files of an archive.
func extract(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	zipped, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	got, archive := map[string]string{}, tar.NewReader(zipped)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return got
		} else if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(text)
	}
}

// archive returns an archive whose first file has that name and content, and a size that
// may be another.
func archive(name string, content []byte, size int64) []byte {
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	tarred := tar.NewWriter(zipped)
	_ = tarred.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600})
	_, _ = tarred.Write(content)
	_ = tarred.Flush()
	_ = zipped.Close()
	return b.Bytes()
}

// What an agent that was killed, or anybody else, has left in the directory.
func TestWhatIsFound(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	put := func(name string, content []byte) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var whole bytes.Buffer
	good, odd := ID{zoneName, uuid.New()}, ID{zoneName, uuid.New()}
	if err := pack(&whole, Metadata{ID: good, Created: time.Unix(1e9, 0).UTC(), Cause: TerminatedInstance}, Evidence{}); err != nil {
		t.Fatal(err)
	}
	huge := []byte("[id]\nzone_name = \"" + strings.Repeat("x", 4<<20) + "\"\n")
	bored := fmt.Sprintf("time_created = \"2026-01-01T00:00:00Z\"\ncause = \"boredom\"\n[id]\nzone_name = %q\nbundle_id = \"%s\"\n",
		zoneName, odd.Bundle)
	damaged := map[string][]byte{
		"empty": {}, "half": whole.Bytes()[:whole.Len()/2], "of another": whole.Bytes(),
		"not an archive": []byte("hello"), "another first file": archive("a", []byte("b"), 1),
		"huge metadata":            archive("metadata.toml", huge, int64(len(huge))),
		"metadata that ends":       archive("metadata.toml", []byte("[id]"), 4000),
		"negative size":            archive("metadata.toml", nil, -1),
		"metadata that is no toml": archive("metadata.toml", []byte("{{{"), 3),
	}
	put(fileName(good), whole.Bytes())
	put(fileName(odd), archive("metadata.toml", []byte(bored), int64(len(bored))))
	for _, content := range damaged {
		put(fileName(ID{zoneName, uuid.New()}), content)
	}
	put(uuid.NewString()+".tmp", whole.Bytes()[:20])
	put("gone/"+uuid.NewString()+".tar.gz", whole.Bytes())
	strange := []string{"notes", "-zone/" + uuid.NewString() + ".tar.gz", zoneName + "/notes.tar.gz", zoneName + "/" + uuid.NewString(),
		zoneName + "/" + strings.ToUpper(uuid.NewString()) + ".tar.gz", zoneName + "/" + uuid.NewString() + ".tar.gz/x"}
	for _, name := range strange {
		put(name, whole.Bytes())
	}
	link, fifo := zoneName+"/"+uuid.NewString()+".tar.gz", zoneName+"/"+uuid.NewString()+".tar.gz"
	strange = append(strange, link, fifo)
	err := errors.Join(os.WriteFile(elsewhere, whole.Bytes(), 0o600), os.Symlink(elsewhere, filepath.Join(dir, link)),
		unix.Mkfifo(filepath.Join(dir, fifo), 0o600), os.Mkdir(filepath.Join(dir, "empty"), 0o700))
	if err != nil {
		t.Fatal(err)
	}

	bubble(t, dir, func(t *testing.T, s *Store) {
		all := list(t, s)
		if want := len(damaged) + 3; len(all) != want {
			t.Errorf("%d bundles are listed, want %d", len(all), want)
		}
		whole := 0
		for _, m := range all {
			if m.Cause != Other {
				whole++
			}
			if err := s.Delete(t.Context(), m.ID); err != nil {
				t.Errorf("delete %+v: %v", m, err)
			}
		}
		if whole != 1 {
			t.Errorf("%d have whole metadata, want one", whole)
		}
	})
	left := files(t, dir)
	for _, name := range strange {
		if !slices.Contains(left, name) {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range left {
		if strings.HasSuffix(name, ".tmp") || name == "empty" || name == "gone" {
			t.Errorf("%s is left", name)
		}
	}
}

func TestSurplus(t *testing.T) {
	t.Parallel()
	of := func(cause Cause, age int) entry {
		return entry{Metadata{Cause: cause, Created: time.Unix(int64(1000-age), 0)}, 10}
	}
	all := []entry{of(TerminatedInstance, 9), of(Other, 1), of(UnexpectedZone, 5), of(Other, 2), of(TerminatedInstance, 3)}
	for _, c := range []struct {
		priority Priority
		bytes    int64
		number   int
		want     []int
	}{
		{Priority{ByCause, ByTime}, 50, 5, nil},
		{Priority{ByCause, ByTime}, 49, 5, []int{3}},
		{Priority{ByCause, ByTime}, 0, 5, []int{3, 1, 2, 0, 4}},
		{Priority{ByCause, ByTime}, 50, 3, []int{3, 1}},
		{Priority{ByTime, ByCause}, 21, 5, []int{0, 2, 4}},
		{Priority{ByTime, ByTime}, 30, 5, []int{0, 2}},
		{Priority{ByCause, ByCause}, 30, 5, []int{1, 3}},
	} {
		var want []entry
		for _, i := range c.want {
			want = append(want, all[i])
		}
		got := surplus(slices.Clone(all), c.priority, c.bytes, c.number)
		byTime := cmp.Diff(want, got, cmp.AllowUnexported(entry{}), cmp.Transformer("set", func(all []entry) map[entry]bool {
			set := map[entry]bool{}
			for _, e := range all {
				set[e] = true
			}
			return set
		}))
		if inTurn := c.priority[0] != c.priority[1]; byTime != "" || inTurn && !slices.Equal(want, got) {
			t.Errorf("%v within %d bytes and %d: got %v, want %v", c.priority, c.bytes, c.number, got, want)
		}
	}
}

// A limit that was lowered is applied by the next cleanup, on request or periodically; one
// that is reached makes room for the next bundle.
func TestCleanup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noise := make([]byte, 4<<20) // three of them exceed one percent
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	bubble(t, dir, func(t *testing.T, s *Store) {
		next := func() Metadata {
			time.Sleep(time.Second)
			return add(t, s, Evidence{Zone: zoneName, Cause: TerminatedInstance, Log: noise})
		}
		lowest, period := uint8(1), time.Minute
		first, second, third := next(), next(), next()
		if count, err := s.Cleanup(t.Context()); err != nil || count != (Count{}) {
			t.Errorf("within the limit %+v was deleted, %v", count, err)
		}
		if err := s.Update(Update{Limit: &lowest}); err != nil {
			t.Fatal(err)
		}
		used, _ := s.Used()
		count, err := s.Cleanup(t.Context())
		if now, _ := s.Used(); err != nil || count.Bundles != 1 || int64(count.Bytes) != used-now || now > s.Context().Available() {
			t.Errorf("%+v was deleted of %d bytes, %d are left, %v", count, used, now, err)
		}
		fourth := next()
		if diff := cmp.Diff([]Metadata{third, fourth}, list(t, s)); diff != "" {
			t.Errorf("of %v and %v and two more these are left (-want +got):\n%s", first.ID.Bundle, second.ID.Bundle, diff)
		}

		highest := uint8(50)
		if err := s.Update(Update{Limit: &highest}); err != nil {
			t.Fatal(err)
		}
		fifth := next()
		if err := s.Update(Update{Limit: &lowest, Period: &period}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]Metadata{fourth, fifth}, list(t, s)); diff != "" {
			t.Errorf("after some periods (-want +got):\n%s", diff)
		}
		if got := len(files(t, dir)); got != 3 {
			t.Errorf("there are %d files", got)
		}
	})
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	span := func(d time.Duration) *time.Duration { return &d }
	share := func(n uint8) *uint8 { return &n }
	for want, u := range map[string]Update{
		"period: 59.999999999s is not between 1m0s and 24h0m0s":     {Period: span(time.Minute - 1), Limit: share(5)},
		"period: 24h0m0.000000001s is not between 1m0s and 24h0m0s": {Period: span(24*time.Hour + 1)},
		"storage_limit: 0 is not between 1 and 50 percent":          {Limit: share(0), Period: span(time.Hour)},
		"storage_limit: 51 is not between 1 and 50 percent":         {Limit: share(51)},
		"priority: want 2 dimensions, got 1":                        {Priority: []Dimension{ByTime}, Limit: share(5)},
		"priority: want 2 dimensions, got 3":                        {Priority: []Dimension{ByTime, ByCause, ByTime}},
		"priority: want 2 dimensions, got 0":                        {Priority: []Dimension{}},
		`priority[1]: want "cause" or "time", got "size"`:           {Priority: []Dimension{ByTime, "size"}, Limit: share(5)},
		`priority[0]: want "cause" or "time", got ""`:               {Priority: []Dimension{"", ByTime}},
		"": {Period: span(24 * time.Hour), Limit: share(50), Priority: []Dimension{ByTime, ByTime}},
	} {
		bubble(t, t.TempDir(), func(t *testing.T, s *Store) {
			if before := s.Context(); before != (Context{10 * time.Minute, 25, Priority{ByCause, ByTime}}) {
				t.Errorf("the default is %+v", before)
			}
			err := s.Update(u)
			if want == "" {
				if now := s.Context(); err != nil || now != (Context{24 * time.Hour, 50, Priority{ByTime, ByTime}}) {
					t.Errorf("after a valid update: %+v, %v", now, err)
				}
			} else if err == nil || err.Error() != want || s.Context() != defaultContext {
				t.Errorf("got %v, want %s; the context is %+v", err, want, s.Context())
			}
		})
	}
}

// A directory that cannot be used loses bundles, and is used once it can be.
func TestNoDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bundles")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	evidence := Evidence{Zone: zoneName, Cause: TerminatedInstance}
	bubble(t, dir, func(t *testing.T, s *Store) {
		s.Add(evidence)
		synctest.Wait()
		if _, err := s.List(); !errors.Is(err, ErrUnavailable) || s.Lost() != 1 {
			t.Errorf("List = %v, %d bundles are lost", err, s.Lost())
		}
		_, used := s.Used()
		_, cleaned := s.Cleanup(t.Context())
		_, _, read := s.Read(ID{zoneName, uuid.New()})
		for _, err := range []error{used, cleaned, read, s.Delete(t.Context(), ID{zoneName, uuid.New()})} {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		add(t, s, evidence)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		s.Add(evidence)
		synctest.Wait()
		if s.Lost() != 2 {
			t.Errorf("%d bundles are lost, want the one after the directory was removed", s.Lost())
		}
		add(t, s, evidence)
		s.Add(Evidence{Zone: "../x", Cause: Other})
		synctest.Wait()
		if s.Lost() != 3 || len(list(t, s)) != 1 {
			t.Errorf("%d are lost and %v is listed after a bad name", s.Lost(), list(t, s))
		}
	})
}

// While the disk hangs no call waits for it beyond its context, and memory is bounded.
func TestHungDisk(t *testing.T) {
	t.Parallel()
	bubble(t, t.TempDir(), func(t *testing.T, s *Store) {
		known := add(t, s, Evidence{Zone: zoneName, Cause: Other})
		hung := make(chan struct{})
		s.jobs <- func() { <-hung }
		synctest.Wait()
		began := time.Now()
		for range maxWaiting + 10 {
			s.Add(Evidence{Zone: zoneName, Cause: TerminatedInstance})
		}
		if s.Lost() != 10 || !time.Now().Equal(began) {
			t.Errorf("%d bundles are lost, want 10; it took %s", s.Lost(), time.Since(began))
		}
		if len(list(t, s)) != 1 {
			t.Error("the list is not what is on disk")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		errs := make(chan error)
		for range maxJobs + 5 {
			go func() { errs <- s.Delete(ctx, known.ID) }()
		}
		for i := range maxJobs + 5 {
			if err := <-errs; !errors.Is(err, ErrUnavailable) {
				t.Errorf("a deletion was answered %v", err)
			}
			if late := time.Since(began) > 0; late != (i >= 5) {
				t.Errorf("answer %d came after %s", i, time.Since(began))
			}
		}
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v", err)
		}
		for len(s.ends) > 0 {
			<-s.ends
		}
		close(hung)
	})
}
