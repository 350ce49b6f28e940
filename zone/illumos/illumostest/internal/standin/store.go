package standin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Store is the host's state on disk. Files are replaced atomically, so reading
// takes no lock. Changes are made in Locked.
type Store struct {
	Dir       string
	Zones     collection[Zone]
	Links     collection[Link]
	Datasets  collection[Dataset]
	Addresses collection[Address]
	Ports     collection[Port]
}

func openStore(dir string) *Store {
	in := func(name string) string { return filepath.Join(dir, name) }
	return &Store{dir, collection[Zone]{in("zones")}, collection[Link]{in("links")},
		collection[Dataset]{in("datasets")}, collection[Address]{in("addresses")}, collection[Port]{in("ports")}}
}

// create writes the initial state of a host.
func (s *Store) create(o Options, zoneRoot string) {
	for _, name := range []string{"zones", "links", "datasets", "addresses", "ports", "run", "etc/zones"} {
		check(os.MkdirAll(s.path(name), 0o700))
	}
	if o.Addresses == nil {
		o.Addresses = defaultAddresses
	}
	writeJSON(s.path("options.json"), o)
	for _, l := range defaultLinks {
		s.Links.put(l.Name, &l)
	}
	for _, d := range []Dataset{{"rpool", "none"}, {"rpool/zones", zoneRoot}} {
		s.Datasets.put(d.Name, &d)
	}
	for _, a := range o.Addresses {
		s.Addresses.put(a.Name, &a)
	}
	s.writeIndex()
}

func (s *Store) path(name ...string) string {
	return filepath.Join(append([]string{s.Dir}, name...)...)
}

// Options returns the options of the host.
func (s *Store) Options() (o Options) {
	readJSON(s.path("options.json"), &o)
	return o
}

// Locked runs change with the lock held, which excludes other processes too.
func (s *Store) Locked(change func()) {
	f := must(os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600))
	defer f.Close()
	err := error(syscall.EINTR)
	for errors.Is(err, syscall.EINTR) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	check(err)
	change()
}

// Change calls change with the zone under the lock and saves it, if it exists.
func (s *Store) Change(zone string, change func(*Zone)) {
	s.Locked(func() {
		if z, ok := s.Zones.Get(zone); ok {
			change(z)
			s.Zones.put(zone, z)
		}
	})
}

// next increments and returns a counter. The caller holds the lock.
func (s *Store) next(kind string) int {
	numbers := make(map[string]int)
	readJSON(s.path("numbers.json"), &numbers)
	numbers[kind]++
	writeJSON(s.path("numbers.json"), numbers)
	return numbers[kind]
}

// closing reports whether the host is being closed or was removed: no process may
// start, and injected hangs end.
func (s *Store) closing() bool {
	_, err := os.Stat(s.path("options.json"))
	_, closing := os.Stat(s.path("closing"))
	return err != nil || closing == nil
}

// until waits until done returns true. It ends the process when the host is closed.
func (s *Store) until(done func() bool) {
	for !done() {
		if s.closing() {
			os.Exit(exitTrouble)
		}
		time.Sleep(3 * time.Millisecond)
	}
}

// ZonesDir returns the host's /etc/zones: it holds NAME.xml for each configured zone,
// and the index.
func (s *Store) ZonesDir() string { return s.path("etc", "zones") }

// configFile returns the path of a zone's configuration. It has the name of the
// host's file, but holds JSON. zonecfg writes it before the index and deletes it
// after that, so it may exist for a zone that no list has.
func (s *Store) configFile(zone string) string { return filepath.Join(s.ZonesDir(), zone+".xml") }

// writeIndex rewrites the index. The caller holds the lock.
func (s *Store) writeIndex() {
	lines := []string{"global:installed:/"}
	for _, z := range s.Zones.All() {
		state := z.State
		if z.Active() {
			state = Installed
		}
		lines = append(lines, fmt.Sprintf("%s:%s:%s:%s", z.Name, state, z.Config.Zonepath(), z.UUID))
	}
	slices.Sort(lines)
	replace(filepath.Join(s.ZonesDir(), "index"), []byte(strings.Join(lines, "\n")+"\n"))
}

// A collection is a directory with one file per value.
type collection[T any] struct{ dir string }

func (c collection[T]) file(name string) string {
	return filepath.Join(c.dir, url.PathEscape(name)+".json")
}

// Get returns the value of that name.
func (c collection[T]) Get(name string) (*T, bool) {
	v := new(T)
	return v, readJSON(c.file(name), v)
}

// All returns every value by its name. It omits values that are deleted meanwhile.
func (c collection[T]) All() map[string]*T {
	all := make(map[string]*T)
	for _, entry := range must(os.ReadDir(c.dir)) {
		name, isValue := strings.CutSuffix(entry.Name(), ".json")
		if !isValue {
			continue
		}
		name = must(url.PathUnescape(name))
		if v, ok := c.Get(name); ok {
			all[name] = v
		}
	}
	return all
}

func (c collection[T]) put(name string, v *T) { writeJSON(c.file(name), v) }

func (c collection[T]) drop(name string) { check(os.Remove(c.file(name))) }

// readJSON reports whether the file exists.
func readJSON(path string, v any) bool {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	check(err)
	check(json.Unmarshal(data, v))
	return true
}

func writeJSON(path string, v any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	check(e.Encode(v))
	replace(path, text.Bytes())
}

// replace replaces a file atomically. Each file has one writer at a time.
func replace(path string, text []byte) {
	check(os.WriteFile(path+".new", text, 0o600))
	check(os.Rename(path+".new", path))
}

// exitTrouble is the exit status for a failure of the stand-in itself. The simulated
// commands do not use it.
const exitTrouble = 125

// A trouble is a failure of the stand-in itself, never a simulated one. It is passed
// by panic to keep the simulated code short.
type trouble struct{ error }

func check(err error) {
	if err != nil {
		panic(trouble{err})
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// try runs do and returns the error of its trouble, if any.
func try(do func()) (err error) {
	defer func() {
		switch t := recover().(type) {
		case nil:
		case trouble:
			err = t.error
		default:
			panic(t)
		}
	}()
	do()
	return nil
}

// orEnd runs do and ends the process if do panics with a trouble.
func orEnd(do func()) {
	if err := try(do); err != nil {
		fmt.Fprintln(os.Stderr, "illumos-standin:", err)
		os.Exit(exitTrouble)
	}
}
