package illumos

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// A thousand looks that arrive while a list runs share the next one.
func TestLooksShareLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		l := lister{run: func() (listing, error) {
			runs.Add(1)
			time.Sleep(time.Second)
			return listing{}, nil
		}}
		errs := make(chan error, 1001)
		go func() { _, err := l.get(t.Context()); errs <- err }()
		synctest.Wait()
		for range 1000 {
			go func() { _, err := l.get(t.Context()); errs <- err }()
		}
		for range 1001 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := runs.Load(); n != 2 {
			t.Errorf("1001 looks ran %d lists, want 2", n)
		}
	})
}

// What a caller is told began after it asked.
func TestLooksAreFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var state atomic.Int32
		l := lister{run: func() (listing, error) {
			seen := zone.State(state.Load())
			time.Sleep(time.Second)
			return listing{zones: map[string]parse.Zone{"z": {Name: "z", State: seen}}}, nil
		}}
		go l.get(t.Context())
		synctest.Wait()
		state.Store(int32(zone.Running))
		got, err := l.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := got.zones["z"].State; s != zone.Running {
			t.Errorf("a look saw %v, which was no longer so when it began", s)
		}
	})
}

// A list that hangs holds up who waits for it, and others hardly.
func TestListHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		hang := make(chan struct{})
		l := lister{run: func() (listing, error) {
			if runs.Add(1) < maxLists {
				<-hang
				return listing{}, errors.New("hung")
			}
			return listing{}, nil
		}}
		stuck, cancel := context.WithTimeout(t.Context(), 3*listPatience/2)
		defer cancel()
		go func() {
			if _, err := l.get(stuck); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first look ended with %v", err)
			}
		}()
		synctest.Wait()
		go l.get(t.Context())
		time.Sleep(listPatience)
		synctest.Wait()
		begun := time.Now()
		if _, err := l.get(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > listPatience {
			t.Errorf("a look took %s", took)
		}
		close(hang)
		synctest.Wait()
		if l.running != 0 {
			t.Errorf("%d lists still count as running", l.running)
		}
	})
}

// So many lists may hang, and no more are begun until one ends.
func TestListsAreCapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		hang := make(chan struct{})
		l := lister{run: func() (listing, error) {
			runs.Add(1)
			<-hang
			return listing{}, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			go l.get(ctx)
			time.Sleep(2 * listPatience)
		}
		if n := runs.Load(); n != maxLists {
			t.Errorf("%d lists run, want %d", n, maxLists)
		}
		cancel()
		close(hang)
		synctest.Wait()
		if n := runs.Load(); n != maxLists+1 {
			t.Errorf("%d lists ran, want %d", n, maxLists+1)
		}
	})
}

func TestUnreadableLineIsNoAbsence(t *testing.T) {
	t.Parallel()
	l := listing{garbage: []string{"x:zone-1:running"}}
	if i, err := l.look("zone-1"); err == nil {
		t.Errorf("a zone whose line cannot be read is said to be %v", i.State)
	}
	if i, err := l.look("zone-2"); err != nil || i.State != zone.Absent {
		t.Errorf("another zone is %v, error %v", i.State, err)
	}
}
