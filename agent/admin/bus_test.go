package admin_test

import (
	"testing"

	"github.com/sledagent/sledagent/agent/admin"
)

func TestBusCountsWhatItDrops(t *testing.T) {
	t.Parallel()
	var bus admin.Bus
	bus.Publish(admin.NamedEvent{Event: event(0)}) // without a subscriber
	slow, cancelSlow := bus.Subscribe(2)
	quick, cancelQuick := bus.Subscribe(8)
	for n := 1; n <= 5; n++ {
		bus.Publish(admin.NamedEvent{Event: event(n)})
	}
	for n, want := range []string{"1", "2"} {
		if e := <-slow; e.Text != want || e.Lost != 0 {
			t.Errorf("slow %d: %+v", n, e)
		}
	}
	bus.Publish(admin.NamedEvent{Event: event(6)})
	if e := <-slow; e.Text != "6" || e.Lost != 3 {
		t.Errorf("after the gap: %+v, want 6 with 3 lost", e)
	}
	for n := range 6 {
		if e := <-quick; e.Lost != 0 {
			t.Errorf("quick %d: %+v", n, e)
		}
	}
	cancelSlow()
	cancelSlow()
	bus.Publish(admin.NamedEvent{Event: event(7)})
	if e, open := <-slow; open {
		t.Errorf("after cancel: %+v", e)
	}
	if e := <-quick; e.Text != "7" {
		t.Errorf("quick: %+v", e)
	}
	cancelQuick()
}
