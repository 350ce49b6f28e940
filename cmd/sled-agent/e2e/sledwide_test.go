package e2e

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The list of zones is that of those that run.
func TestZones(t *testing.T) {
	l := newSled(t, setup{})
	l.listsZones()
	a, b := l.launch(), l.launch()
	idle := l.register()
	l.listsZones(a, b)
	s := a.stop(0)
	a.removedOnTime(s)
	a.endsDestroyed()
	l.listsZones(b)
	b.stop(time.Minute)
	b.endsDestroyed()
	idle.stop(0)
	idle.endsDestroyed()
	l.listsZones()
}

func (l *sled) listsZones(of ...*vm) {
	l.t.Helper()
	want := []string{}
	for _, v := range of {
		want = append(want, v.zone())
	}
	slices.Sort(want)
	var got []string
	if err := json.Unmarshal(l.call("GET", "/zones", nil).wants(l.t, 200).body, &got); err != nil || got == nil {
		l.t.Fatalf("the list of zones is %v, %v", got, err)
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("the zones are %q, want %q", got, want)
	}
}

// The sled's identifiers stay the same over restarts.
func TestSledIdentifiers(t *testing.T) {
	l := newSled(t, setup{})
	identify := func() (id struct {
		Rack     uuid.UUID `json:"rack_id"`
		Sled     uuid.UUID `json:"sled_id"`
		Model    string
		Revision *int
		Serial   string
	}) {
		body := l.call("GET", "/sled-identifiers", nil).wants(t, 200).body
		if err := json.Unmarshal(body, &id); err != nil || id.Sled == uuid.Nil || id.Revision == nil || id.Model == "" {
			t.Fatalf("the identifiers are %s, %v", body, err)
		}
		return id
	}
	before := identify()
	l.past.stop()
	l.terminate()
	l.start()
	if after := identify(); after.Sled != before.Sled || after.Serial != before.Serial {
		t.Errorf("the sled was %+v and is %+v", before, after)
	}
}
