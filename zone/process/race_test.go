//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/internal/zonelock"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// muteInit returns a program that, run as a zone's init, never replies.
func muteInit(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "mute")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 3600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKillInTheMiddleOfBoot(t *testing.T) {
	t.Parallel()
	for _, rung := range []zone.Rung{zone.RungKill, zone.RungHalt, zone.RungUninstall} {
		t.Run(string(rung), func(t *testing.T) {
			t.Parallel()
			m := newManager(t, "sleep")
			m.cfg.Self = muteInit(t)
			name := prefix + string(rung)
			create(t, m, name)
			booted := make(chan error, 1)
			go func() { booted <- m.Boot(ctxFor(t), name) }()
			eventually(t, "the init", func() bool { return len(members(t, m, name)) > 0 })
			if err := m.Remove(ctxFor(t), rung, name); err != nil {
				t.Errorf("%s: %v", rung, err)
			}
			if err := <-booted; !errors.Is(err, zonelock.ErrRemoved) {
				t.Errorf("boot: %v", err)
			}
			wantNoMembers(t, m, name)
		})
	}
}

func TestBootEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	m.cfg.Self = muteInit(t)
	name := prefix + "ctx"
	create(t, m, name)
	ctx, cancel := context.WithCancel(context.Background())
	booted := make(chan error, 1)
	go func() { booted <- m.Boot(ctx, name) }()
	eventually(t, "the init", func() bool { return len(members(t, m, name)) > 0 })
	cancel()
	if err := <-booted; !errors.Is(err, context.Canceled) {
		t.Errorf("boot: %v", err)
	}
	if info := look(t, m, name); info.State != zone.Installed || len(members(t, m, name)) > 0 {
		t.Errorf("afterwards: %+v", info)
	}
}

// A removal overtakes Create and Boot at any moment. Once all have returned, one more
// look finds everything that is left to remove.
func TestRemovalOvertakesStart(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		m := without(t, iso, "sleep")
		for i := range 10 {
			name := fmt.Sprintf("%s-%d", uniqueName(t), i)
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := m.Create(ctxFor(t), spec(name)); err == nil {
					_ = m.Boot(ctxFor(t), name)
				}
			})
			wg.Go(func() {
				for range i {
					_ = m.Remove(ctxFor(t), zone.RungKill, name)
				}
				_, _ = tryRemove(ctxFor(t), m, name)
			})
			wg.Wait()
			if info := look(t, m, name); info.State != zone.Running && len(members(t, m, name)) > 0 {
				t.Errorf("processes of a zone that is %v", info.State)
			}
			remove(t, m, name)
			if left := members(t, m, name); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		}
	})
}

// An init whose agent dies before it recorded the init exits.
func TestInitExitsWithoutARecord(t *testing.T) {
	t.Parallel()
	m := newManager(t, "touch=started", "sleep")
	name := prefix + "orphan"
	create(t, m, name)
	ours, theirs, err := proc.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	root, err := m.open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree, err := m.spawn(ctxFor(t), name, root, nil, theirs)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	if !alive(t, tree.boot.Init) {
		t.Fatal("the init did not wait")
	}
	ours.Close()
	<-tree.handle.Done()
	if exists(filepath.Join(m.zoneDir(name), zonedir.RootDir, "started")) || len(members(t, m, name)) > 0 {
		t.Error("a process was started")
	}
}

func TestManyZonesAtOnce(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	var wg sync.WaitGroup
	var ends sync.WaitGroup
	for i := range 50 {
		name := fmt.Sprintf("%smany-%d", prefix, i)
		ends.Add(1)
		wg.Go(func() {
			if _, err := m.Create(ctxFor(t), spec(name)); err != nil {
				t.Error(err)
			}
			if err := m.Boot(ctxFor(t), name); err != nil {
				t.Error(err)
			}
			m.Watch(name, func(zone.End) { ends.Done() })
		})
	}
	wg.Wait()
	infos, err := m.List(ctxFor(t))
	if err != nil || len(infos) != 50 {
		t.Fatalf("%d zones are listed, %v", len(infos), err)
	}
	for _, info := range infos {
		if info.State != zone.Running {
			t.Errorf("%+v", info)
		}
		wg.Go(func() {
			if _, err := tryRemove(ctxFor(t), m, info.Name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ends.Wait()
}
