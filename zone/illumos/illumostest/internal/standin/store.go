package standin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Store is the host's state on disk. Reading takes no lock: each file is
// replaced in one step. Changing is done in Locked.
type Store struct {
	Dir       string
	Zones     collection[Zone]
	Links     collection[Link]
	Datasets  collection[Dataset]
	Addresses collection[Address]
	// Global holds the services of the global zone.
	Global collection[Service]
}

// Open returns the state in dir, which Create made.
func Open(dir string) *Store {
	in := func(name string) string { return filepath.Join(dir, name) }
	return &Store{Dir: dir, Zones: collection[Zone]{in("zones")}, Links: collection[Link]{in("links")},
		Datasets: collection[Dataset]{in("datasets")}, Addresses: collection[Address]{in("addresses")},
		Global: collection[Service]{in("global")}}
}

// Create makes the state of a host in dir; datasets are mounted below mounts.
func Create(dir string, o Options, zoneRoot string) *Store {
	o = o.withDefaults()
	s := Open(dir)
	for _, name := range []string{"zones", "links", "datasets", "addresses", "global", "run", "vmm"} {
		check(os.MkdirAll(s.path(name), 0o700))
	}
	writeJSON(s.path("options.json"), o)
	writeJSON(s.path("meta.json"), meta{NextID: o.FirstID, NextUniq: 1})
	for _, l := range o.Links {
		s.Links.put(l.Name, &l)
	}
	for _, d := range append(o.Datasets, Dataset{"rpool", "none"}, Dataset{"rpool/zones", zoneRoot}) {
		s.Datasets.put(d.Name, &d)
	}
	for _, a := range o.Addresses {
		s.Addresses.put(a.Name, &a)
	}
	for _, fmri := range o.Services {
		s.Global.put(fmri, &Service{State: "online", Next: "-", Since: time.Now()})
	}
	return s
}

func (s *Store) path(name ...string) string {
	return filepath.Join(append([]string{s.Dir}, name...)...)
}

// Options are those the host was made with, with the defaults filled in.
func (s *Store) Options() (o Options) {
	readJSON(s.path("options.json"), &o)
	return o
}

// locks keeps the goroutines of one process apart, which fcntl locks do not.
var locks sync.Map

// Locked runs change while no other process is in Locked.
func (s *Store) Locked(change func()) {
	mu, _ := locks.LoadOrStore(s.Dir, new(sync.Mutex))
	mu.(*sync.Mutex).Lock()
	defer mu.(*sync.Mutex).Unlock()
	f := must(os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600))
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &lock)
	for errors.Is(err, unix.EINTR) {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &lock)
	}
	check(err)
	change()
}

// count changes the counters. It needs the lock.
func (s *Store) count(change func(*meta)) {
	var m meta
	readJSON(s.path("meta.json"), &m)
	change(&m)
	writeJSON(s.path("meta.json"), m)
}

// Change lets change alter the zone under the lock, if there is one of that
// name, and tells whether it did.
func (s *Store) Change(zone string, change func(*Zone)) (found bool) {
	s.Locked(func() {
		z, ok := s.Zones.Get(zone)
		if !ok {
			return
		}
		change(z)
		s.Zones.put(zone, z)
		found = true
	})
	return found
}

// closing tells whether the host is being taken down: nothing may start, and
// whatever hangs on purpose ends.
func (s *Store) closing() bool {
	_, err := os.Stat(s.path("options.json"))
	if err != nil {
		return true
	}
	_, err = os.Stat(s.path("closing"))
	return err == nil
}

// A collection is a directory with a file per value.
type collection[T any] struct{ dir string }

func (c collection[T]) file(name string) string {
	return filepath.Join(c.dir, url.PathEscape(name)+".json")
}

// Get returns a copy of the value of that name.
func (c collection[T]) Get(name string) (*T, bool) {
	v := new(T)
	return v, readJSON(c.file(name), v)
}

// All returns a copy of every value by its name. One that vanishes meanwhile is
// left out.
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

// readJSON tells whether there is such a file.
func readJSON(path string, v any) bool {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	check(err)
	check(json.Unmarshal(data, v))
	return true
}

// writeJSON replaces a file in one step. Each file has one writer at a time.
func writeJSON(path string, v any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	check(e.Encode(v))
	check(os.WriteFile(path+".new", text.Bytes(), 0o600))
	check(os.Rename(path+".new", path))
}
