package life_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/life"
)

var begun = time.Date(2026, 8, 21, 22, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return begun.Add(d) }

func ptr(d time.Duration) *time.Time { t := at(d); return &t }

// forced is a VMM that was removed by force after a grace of 10 seconds.
func forced() vmm.Status {
	return vmm.Status{
		Hostname: "web-1", Phase: vmm.Forgotten.String(),
		Record:  vmm.Record{VMM: vmm.Runtime{State: vmm.WireDestroyed, Gen: 7, Updated: at(14 * time.Second)}},
		Stop:    &vmm.StopStatus{By: "nexus", Requested: begun, Grace: 10 * time.Second},
		Removal: &vmm.RemovalStatus{Begun: at(10 * time.Second), Gone: ptr(14 * time.Second), Rung: "release"},
		Publish: &vmm.PublishStatus{Gen: 7, Acked: 7},
		Events: []vmm.Event{
			{At: at(-50 * time.Second), Kind: "registered"},
			{At: at(-40 * time.Second), Kind: "zone-booted", Took: 5 * time.Second},
			{At: at(-30 * time.Second), Kind: "observed", Text: "Running, Propolis's generation 3"},
			{At: begun, Kind: "stop"},
			{At: at(10 * time.Second), Kind: "halt", Took: time.Second, Error: "no", Times: 2, Last: ptr(11 * time.Second)},
			{At: at(10 * time.Second), Kind: "destroy-vm", Took: time.Millisecond, Times: 2, Last: ptr(13 * time.Second)},
			{At: at(15 * time.Second), Kind: "published"},
		},
	}
}

func bar(from, to time.Duration, kind life.Kind) life.Bar {
	return life.Bar{From: at(from), To: at(to), Kind: kind}
}

func TestChartOfAStop(t *testing.T) {
	t.Parallel()
	const s = time.Second
	got, err := life.Of(forced(), "", at(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	want := life.Chart{Hostname: "web-1", Part: life.Stop, From: begun, To: at(15 * s), Deadline: ptr(10 * s), Rows: []life.Row{
		{Label: "asked", Note: "not accepted", Bars: []life.Bar{bar(0, 10*s, life.Failed)}},
		{Label: "grace", Note: "10s", Bars: []life.Bar{bar(0, 10*s, life.Done)}},
		{Label: "halt", Note: "2s, 2 times", Bars: []life.Bar{bar(10*s, 12*s, life.Failed)}},
		{Label: "destroy-vm", Note: "2ms, 2 times", Bars: []life.Bar{bar(10*s, 10*s+time.Millisecond, life.Done), bar(13*s, 13*s+time.Millisecond, life.Done)}},
		{Label: "gone", Note: "+14s", Bars: []life.Bar{bar(14*s, 14*s, life.Done)}},
		{Label: "published", Note: "+15s", Bars: []life.Bar{bar(14*s, 15*s, life.Done)}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is not over goes on until now, and what is left of the grace follows.
func TestChartOfAPendingStop(t *testing.T) {
	t.Parallel()
	const s = time.Second
	v := forced()
	v.Phase, v.Removal, v.Record.VMM.State = vmm.Stopping.String(), nil, vmm.WireStopping
	v.Publish.Acked--
	got, err := life.Of(v, life.Stop, at(15*s/2))
	if err != nil {
		t.Fatal(err)
	}
	want := []life.Row{
		{Label: "asked", Note: "not accepted", Bars: []life.Bar{bar(0, 15*s/2, life.Pending)}},
		{Label: "grace", Note: "10s", Bars: []life.Bar{bar(15*s/2, 10*s, life.Left), bar(0, 15*s/2, life.Done)}},
		{Label: "published", Note: "not yet", Bars: []life.Bar{bar(14*s, 14*s, life.Pending)}},
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Error(diff)
	}
}

func TestPartsOfALife(t *testing.T) {
	t.Parallel()
	labels := func(v vmm.Status, part life.Part) (text string) {
		c, err := life.Of(v, part, at(time.Hour))
		if err != nil {
			return err.Error()
		}
		for _, r := range c.Rows {
			text += r.Label + " "
		}
		return text
	}
	guest := forced()
	guest.Stop.By, guest.Stop.Soft = string(vmm.ByGuest), time.Second
	killed := forced()
	killed.Stop.Grace = 0
	young := vmm.Status{Events: forced().Events[:3]}
	for _, c := range []struct {
		v    vmm.Status
		part life.Part
		want string
	}{
		{forced(), life.Whole, "zone-booted running asked grace halt destroy-vm gone published "},
		{forced(), life.Removal, "halt destroy-vm gone published "},
		{guest, life.Stop, "asked soft grace halt destroy-vm gone published "},
		{killed, life.Stop, "grace halt destroy-vm gone published "},
		{young, "", "zone-booted running "},
		{young, life.Stop, "VMM " + young.ID.String() + " has no stop yet"},
		{vmm.Status{}, "", ""},
	} {
		if got := labels(c.v, c.part); got != c.want {
			t.Errorf("%q: %q, want %q", c.part, got, c.want)
		}
	}
}

// Whatever a status says, also with a clock that was set back, bars are in the chart, and
// the figure is XML.
func TestChartIsSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		offset := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "offset")) })
		when := func(name string) time.Time { return at(offset.Draw(t, name)) }
		maybe := func(name string) *time.Time {
			if v := when(name); rapid.Bool().Draw(t, "has "+name) {
				return &v
			}
			return nil
		}
		s := vmm.Status{Hostname: rapid.String().Draw(t, "hostname"), Deadline: maybe("deadline"), DeadlineFor: "stop"}
		s.Record.VMM.Updated = when("updated")
		if rapid.Bool().Draw(t, "stop") {
			s.Stop = &vmm.StopStatus{Requested: when("requested"), Grace: offset.Draw(t, "grace"), Soft: offset.Draw(t, "soft"), Acked: maybe("acked")}
		}
		if rapid.Bool().Draw(t, "removal") {
			s.Removal = &vmm.RemovalStatus{Begun: when("begun"), Gone: maybe("gone"), Rung: "halt"}
		}
		if rapid.Bool().Draw(t, "publish") {
			s.Publish = &vmm.PublishStatus{Gen: 2, Acked: rapid.Uint64Range(1, 2).Draw(t, "acked")}
		}
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			s.Events = append(s.Events, vmm.Event{At: when("at"), Last: maybe("last"), Took: offset.Draw(t, "took"), Times: rapid.IntRange(0, 3).Draw(t, "times"),
				Kind: rapid.SampledFrom([]string{"halt", "kill", "published", "observed", "zone-booted", "evidence"}).Draw(t, "kind"), Text: "Running"})
		}
		c, err := life.Of(s, "", when("now"))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Rows {
			for _, b := range r.Bars {
				if b.From.Before(c.From) || b.To.Before(b.From) || b.To.After(c.To) {
					t.Errorf("%s: %v is not in %v to %v", r.Label, b, c.From, c.To)
				}
			}
		}
		if n := len(c.Ticks(8)); n < 1 || n > 9 {
			t.Errorf("%d ticks", n)
		}
		for in := xml.NewDecoder(strings.NewReader(c.SVG())); ; {
			if _, err := in.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}
