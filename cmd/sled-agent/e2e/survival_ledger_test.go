//go:build linux

package e2e

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A damaged entry of the ledger affects no other VMM's deadline. The entry's VMM is not denied and runs on.
// The agent reports the damage until an operator settles the ledger.
func TestDamagedLedger(t *testing.T) {
	h := newProcessHarness(t, setup{})
	h.start()
	lost, other := h.launch(), faults("hang-stop").launch(h)
	other.stop(2 * time.Second)
	h.terminate()
	path := h.state("ledger.db")
	file, err := os.ReadFile(path)
	must(t, err)
	at := bytes.Index(file, []byte("state "+lost.id.String()+" "))
	if at < 0 {
		t.Fatalf("no state of VMM %s", lost.id)
	}
	file[at+len("state "+lost.id.String())+40] ^= 1
	must(t, os.WriteFile(path, file, 0o600))

	a := h.spawn()
	a.logs(t, `"level":"error"`, "ledger is damaged", `"entries":1`, `"vmms":1`)
	a.logs(t, `"message":"serving"`)
	other.gone()
	for _, path := range []string{lost.path(), "/vmms/" + uuid.NewString()} {
		h.call("GET", path+"/state", nil).wants(t, 503)
	}
	if about := h.about(); len(about.Troubles) != 1 || h.metric("sled_agent_parts_failing") != 1 {
		t.Errorf("the agent shows %+v", about)
	}
	h.terminate()
	for _, c := range []struct {
		verb string
		want int
	}{{"check", 95}, {"repair", 0}, {"check", 0}} {
		if got := execute(t, "ledger", c.verb, "--config", h.configFile()); got.status != c.want {
			t.Errorf("ledger %s: exit status %d, %s", c.verb, got.status, got.stderr)
		}
	}
	if kept := named(h.stateDir(), "ledger.db.damaged-"); len(kept) != 2 {
		t.Errorf("kept: %v", kept)
	}
	a = h.start() // Now it answers 404.
	a.logs(t, "zone belongs to no VMM", lost.id.String(), `"kept":true`)
	h.terminate()
}
