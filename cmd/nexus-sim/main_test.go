package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/golden"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

func row(n byte, state vmm.WireState, gen uint64, seen time.Duration, answer int, effect nexussim.Effect) nexussim.Row {
	r := nexussim.Row{ID: uuid.UUID{15: n}, LastSeen: noon.Add(-seen), LastAnswer: answer, LastEffect: effect, Updates: int(n)}
	if state != "" {
		r.Record = &vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen}}
	}
	return r
}

func TestTable(t *testing.T) {
	t.Parallel()
	v := view{
		where: where{listen: "127.0.0.1:12221", control: "127.0.0.1:40001"},
		now:   noon,
		rows: []nexussim.Row{
			row(1, vmm.WireRunning, 4, 90*time.Second, 204, nexussim.Updated),
			row(2, vmm.WireDestroyed, 1234, 3*time.Hour, 204, nexussim.Stale),
			row(3, "", 0, 0, 500, nexussim.Faulted),
			row(4, vmm.WireStopping, 7, 2*time.Second, 0, nexussim.Updated),
			row(5, "", 0, 0, 0, ""),
		},
	}
	golden.Check(t, "table.txt", strings.Join(v.lines(200, 24), "\n")+"\n")
	v.faults = []string{"delay=1s", "status=503"}
	v.violations = []nexussim.Violation{{VMM: uuid.UUID{15: 2}, Rule: nexussim.SecondTerminal}}
	golden.Check(t, "table-small.txt", strings.Join(v.lines(76, 7), "\n")+"\n")
}

func TestDrawLeavesNothingOfTheLastPicture(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := draw(&b, []string{"one", "two"}); err != nil {
		t.Fatal(err)
	}
	if want := "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestFaultsCommand(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cmd := command(&out, io.Discard)
	cmd.SetArgs([]string{"faults"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "faults.txt", out.String())
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"run", "--fault", "tired"}, {"run", "--known", "vm-1"}, {"run", "extra"},
		{"run", "--listen", "nowhere"}, {"run", "--listen", "127.0.0.1:0", "--control", "nowhere"},
	} {
		cmd := command(io.Discard, io.Discard)
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// The whole program logs where it listens, prints a line per PUT, applies a fault
// given at the start, and ends without an error on request.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	cmd := command(outW, errW)
	cmd.SetArgs([]string{"run", "--listen", "127.0.0.1:0", "--fault", "status=503@" + uuid.UUID{15: 2}.String()})
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.ExecuteContext(ctx)
		_ = outW.Close()
	}()

	var said struct{ Listen, Control string }
	if err := json.NewDecoder(errR).Decode(&said); err != nil || said.Listen == "" || said.Control == "" {
		t.Fatalf("log line: %+v, %v", said, err)
	}
	lines := bufio.NewScanner(outR)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for n, want := range map[byte]line{
		1: {State: vmm.WireRunning, Gen: 3, Answer: 204, Effect: nexussim.Updated},
		2: {State: vmm.WireRunning, Gen: 3, Answer: 503, Effect: nexussim.Faulted, Fault: "status=503@" + uuid.UUID{15: 2}.String(),
			Message: "Service Unavailable"},
	} {
		want.VMM = uuid.UUID{15: n}
		send(t, client, "http://"+said.Listen+"/vmms/"+want.VMM.String())
		if !lines.Scan() {
			t.Fatalf("no line: %v", lines.Err())
		}
		var got line
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil || got.Time.IsZero() {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		got.Time = time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func send(t *testing.T, c *http.Client, url string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url,
		strings.NewReader(`{"vmm_state":{"state":"running","gen":3,"time_updated":"2026-08-21T22:14:31Z"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("api-version", nexussim.APIVersion)
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}
