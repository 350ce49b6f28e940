package admin_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestTroubles(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { t := now.Add(-d); return &t }
	removal := func(age time.Duration, err string) *vmm.RemovalStatus {
		return &vmm.RemovalStatus{Begun: *ago(age), Rung: "halt", ZoneState: "down", Attempt: 2, LastError: err}
	}
	for name, c := range map[string]struct {
		change func(*vmm.Status)
		want   []string
	}{
		"well":             {func(*vmm.Status) {}, nil},
		"deadline ahead":   {func(s *vmm.Status) { s.Deadline, s.DeadlineFor = ago(-time.Minute), "stop" }, nil},
		"deadline just so": {func(s *vmm.Status) { s.Deadline, s.DeadlineFor = ago(time.Second), "stop" }, nil},
		"deadline passed": {func(s *vmm.Status) { s.Deadline, s.DeadlineFor = ago(90*time.Second), "stop" },
			[]string{"the stop deadline passed 1m30s ago and no removal has begun"}},
		"deadline kept": {func(s *vmm.Status) { s.Deadline, s.Removal = ago(90*time.Second), removal(90*time.Second, "") }, nil},
		"removal fails": {func(s *vmm.Status) { s.Removal = removal(time.Second, "no") },
			[]string{"removal: halt, attempt 2: no"}},
		"removal lasts": {func(s *vmm.Status) { s.Removal = removal(3*time.Minute, "") },
			[]string{"removal has been under way for 3m, the zone is down"}},
		"removal over": {func(s *vmm.Status) { s.Removal = removal(time.Hour, "no"); s.Removal.Gone = ago(0) }, nil},
		"degraded":     {func(s *vmm.Status) { s.Degraded = "no ledger" }, []string{"degraded: no ledger"}},
		"failed": {func(s *vmm.Status) { s.Record.VMM.State, s.Reason = vmm.WireFailed, "zone is gone" },
			[]string{"failed: zone is gone"}},
		"silent": {func(s *vmm.Status) { s.Propolis = &vmm.PropolisStatus{SilentSince: ago(time.Minute)} },
			[]string{"Propolis is silent for 1m"}},
		"silent while removed": {func(s *vmm.Status) {
			s.Propolis, s.Removal = &vmm.PropolisStatus{SilentSince: ago(time.Minute)}, removal(0, "")
		}, nil},
		"Propolis refuses": {func(s *vmm.Status) {
			s.Propolis = &vmm.PropolisStatus{LastCall: "PUT state Stop", LastError: "500", Attempts: 3}
		}, []string{"Propolis: PUT state Stop, attempt 3: 500"}},
		"Nexus refuses": {func(s *vmm.Status) { s.Publish = &vmm.PublishStatus{Gen: 3, Acked: 2, LastError: "503"} },
			[]string{"Nexus has not taken generation 3: 503"}},
		"record is being published": {func(s *vmm.Status) { s.Publish = &vmm.PublishStatus{Gen: 3, Acked: 2} }, nil},
		"Nexus need not know": {func(s *vmm.Status) {
			s.Disowned, s.Publish = true, &vmm.PublishStatus{Gen: 3, Acked: 2, LastError: "503"}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := status(1)
			c.change(&s)
			if diff := cmp.Diff(c.want, admin.Troubles(s, now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Microsecond: "0.4ms", 12 * time.Millisecond: "12ms", 3200 * time.Millisecond: "3.2s",
		10 * time.Second: "10s", 20400 * time.Millisecond: "20s", time.Minute: "1m", 252 * time.Second: "4m12s",
		time.Hour - time.Millisecond: "1h", 24*time.Hour - time.Millisecond: "1d",
		10 * time.Minute: "10m", time.Hour: "1h", 3*time.Hour + 4*time.Minute: "3h4m", 70 * time.Minute: "1h10m",
		10 * time.Hour: "10h", day: "1d", 12*day + 4*time.Hour: "12d4h", 10 * day: "10d", -time.Minute: "-1m",
	} {
		if got := admin.Span(d); got != want {
			t.Errorf("Span(%v) is %q, want %q", d, got, want)
		}
	}
}
