package illumos

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// A recent listing is returned as a hint while zoneadm list fails, but not as proof.
func TestOldListIsAHint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fails atomic.Bool
		l := newLister(func() (listing, error) {
			if fails.Load() {
				return listing{}, errors.New("no list today")
			}
			return listing{zones: map[string]parse.Zone{"z": {Name: "z", State: zone.Running}}}, nil
		})
		if _, err := l.hint(t.Context()); err != nil {
			t.Error(err)
		}
		fails.Store(true)
		time.Sleep(hintAge / 2)
		if old, err := l.hint(t.Context()); err == nil || old.zones["z"].State != zone.Running {
			t.Errorf("got %v, error %v", old, err)
		}
		if _, err := l.Get(t.Context()); err == nil {
			t.Error("Get returned an old list")
		}
		time.Sleep(hintAge)
		if old, err := l.hint(t.Context()); err == nil || old.zones != nil {
			t.Error("hint returned a list that is too old")
		}
	})
}
