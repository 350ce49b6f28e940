package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/uuid"
)

// The list of zones contains the running ones.
func TestZones(t *testing.T) {
	h := newHarness(t, setup{})
	h.listsZones()
	a, b := h.launch(), h.launch()
	idle := h.register()
	h.listsZones(a, b)
	a.stopsAtDeadline(0)
	h.listsZones(b)
	b.stopAndEnd()
	idle.stop(0)
	idle.endsDestroyed()
	h.listsZones()
}

func (h *harness) listsZones(of ...*vm) {
	h.t.Helper()
	want := []string{}
	for _, v := range of {
		want = append(want, v.zone())
	}
	slices.Sort(want)
	var got []string
	if err := json.Unmarshal(h.call("GET", "/zones", nil).wants(h.t, 200).body, &got); err != nil || got == nil {
		h.t.Fatalf("the list of zones is %v, %v", got, err)
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("the zones are %q, want %q", got, want)
	}
}

// The sled's identifiers do not change over restarts.
func TestSledIdentifiers(t *testing.T) {
	h := newHarness(t, setup{})
	identify := func() (id struct {
		Rack     uuid.UUID `json:"rack_id"`
		Sled     uuid.UUID `json:"sled_id"`
		Model    string
		Revision *int
		Serial   string
	}) {
		body := h.call("GET", "/sled-identifiers", nil).wants(t, 200).body
		if err := json.Unmarshal(body, &id); err != nil || id.Sled == uuid.Nil || id.Revision == nil || id.Model == "" {
			t.Fatalf("the identifiers are %s, %v", body, err)
		}
		return id
	}
	before := identify()
	h.terminate()
	h.start()
	if after := identify(); after.Sled != before.Sled || after.Serial != before.Serial {
		t.Errorf("the sled was %+v and is %+v", before, after)
	}
}
