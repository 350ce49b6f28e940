package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// onDisk is an agent with a ledger on disk.
type onDisk struct {
	*agent.Agent
	l *ledger.Ledger
}

func newOnDisk(t testing.TB, path string, registered int) *onDisk {
	t.Helper()
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.States(limits)
	if err != nil {
		t.Fatal(err)
	}
	nexus := publish.New(publish.Config{Log: zerolog.Nop()}) // without replicas
	t.Cleanup(func() { _ = nexus.Close(context.Background()) })
	a := &onDisk{l: l, Agent: agent.New(agent.Config{Zones: zonetest.New(zonetest.Hooks{}), Sled: theSled, Nexus: nexus, Journal: l, Limits: limits,
		Prefix: prefix, Log: zerolog.Nop(), Registered: registered, Propolis: func(addr netip.AddrPort) runner.Propolis {
			return propolis.NewClient(addr, propolis.Options{})
		}})}
	a.Adopt(all)
	t.Cleanup(func() { a.close(t) })
	return a
}

func (a *onDisk) close(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(a.Close(ctx), a.l.Close(ctx)); err != nil {
		t.Error(err)
	}
}

// long returns the body of a registration of that size; n distinguishes it.
func long(n, size int) []byte {
	body := wire.NewBody(wire.BodyOptions{PropolisAddr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, byte(n >> 8), byte(n)}), 12400)})
	blob := `"blob":{"type":"blob_storage_backend","component":{"readonly":true,"base64":""}},`
	more := strings.Replace(blob, `""`, `"`+strings.Repeat("A", max(size-len(body)-len(blob), 0))+`"`, 1)
	return bytes.Replace(body, []byte(`"components":{`), []byte(`"components":{`+more), 1)
}

func (a *onDisk) registers(t testing.TB, id uuid.UUID, body []byte) error {
	t.Helper()
	reg, err := wire.Decode(wire.Newest, body)
	if err != nil {
		t.Fatal(err)
	}
	return written(func(ctx context.Context) error {
		_, err := a.Register(ctx, id, reg)
		return err
	})
}

// written repeats a request for as long as it is refused because the disk is slow, as on
// a loaded machine.
func written(request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := request(ctx)
		if !vmm.Refused(err, vmm.Unwritable) || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond) // sleep: polling
	}
}

// inUse returns the memory of live objects.
func inUse() int {
	runtime.GC()
	runtime.GC() // collects what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// TestRegistrationsAreNotHeld: registrations are on disk and not in memory. It is not
// parallel, since it measures the memory of the process.
func TestRegistrationsAreNotHeld(t *testing.T) {
	a := newOnDisk(t, filepath.Join(t.TempDir(), ledger.FileName), 0)
	const vmms, size = 48, 1_000_000
	before := inUse()
	for n := range vmms {
		if err := a.registers(t, uuid.New(), long(n, size)); err != nil {
			t.Fatal(err)
		}
	}
	held := inUse() - before
	t.Logf("%d bytes for each VMM", held/vmms)
	if held > vmms*size/10 {
		t.Errorf("%d registrations of %d bytes hold %d bytes of memory", vmms, size, held)
	}
}

// BenchmarkRegistered measures the memory and the bytes on disk of a registered VMM.
func BenchmarkRegistered(b *testing.B) {
	for _, size := range []int{20_000, 1_000_000} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			a := newOnDisk(b, filepath.Join(b.TempDir(), ledger.FileName), 1<<40)
			before, n := inUse(), 0
			for b.Loop() {
				if err := a.registers(b, uuid.New(), long(n, size)); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(inUse()-before)/float64(n), "B-held/op")
		})
	}
}

// TestRegistrationsAreLimited: the limit on the sum of sizes also holds after a restart.
// Ended VMMs free their share.
func TestRegistrationsAreLimited(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ledger.FileName)
	const size = 100_000
	a := newOnDisk(t, path, 5*size)
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	bodies := [][]byte{}
	for n, id := range ids {
		bodies = append(bodies, long(n, size))
		if err := a.registers(t, id, bodies[n]); err != nil {
			t.Fatal(err)
		}
	}
	isFull := func(a *onDisk) {
		t.Helper()
		err := a.registers(t, uuid.New(), long(9, 2*size))
		if !vmm.Refused(err, vmm.Full) || !strings.Contains(err.Error(), fmt.Sprint(5*size)) {
			t.Fatalf("beyond the limit: %v", err)
		}
	}
	isFull(a)
	for n, id := range ids { // repeats do not count
		if err := a.registers(t, id, bodies[n]); err != nil {
			t.Error(err)
		}
	}
	if err := a.registers(t, uuid.New(), long(8, 2_000)); err != nil {
		t.Errorf("a small one: %v", err)
	}
	a.close(t)
	a = newOnDisk(t, path, 5*size)
	isFull(a)
	for _, id := range ids[:2] {
		if _, err := a.Unregister(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool { return a.VMMs() == 2 })
	if err := a.registers(t, uuid.New(), long(9, 2*size)); err != nil {
		t.Errorf("after others have ended: %v", err)
	}
}

// await waits for a condition in real time.
func await(t *testing.T, there func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !there(); time.Sleep(time.Millisecond) { // sleep: polling
		if time.Now().After(end) {
			t.Fatal("not within a minute")
		}
	}
}

// TestStartReadsTheRegistration: a VMM is created from its registration, with an
// identical spec, though the registration is not in memory.
func TestStartReadsTheRegistration(t *testing.T) {
	t.Parallel()
	body := long(1, 100_000)
	want, err := wire.Decode(wire.Newest, body)
	if err != nil {
		t.Fatal(err)
	}
	a := newOnDisk(t, filepath.Join(t.TempDir(), ledger.FileName), 0)
	id := uuid.New()
	if err := a.registers(t, id, body); err != nil {
		t.Fatal(err)
	}
	got, err := a.l.Registration(id)
	if err != nil || !bytes.Equal(got.Spec, want.Spec) || !json.Valid(got.Spec) {
		t.Errorf("%v, %v", got, err)
	}
	if err := written(func(ctx context.Context) error { return a.Run(ctx, id) }); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		s, err := a.Show(id)
		return err == nil && strings.Contains(fmt.Sprint(s.Events), "zone-booted")
	})
}
