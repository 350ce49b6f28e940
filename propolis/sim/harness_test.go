package sim_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/propolis/server/servertest"
	"github.com/sledagent/sledagent/propolis/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client is connected to one simulator.
type client struct {
	*servertest.Client
	sim *sim.Server
}

// overSocket serves a simulator on a real socket.
func overSocket(t *testing.T, o sim.Options) *client {
	t.Helper()
	s := sim.New(o)
	return &client{servertest.OverSocket(t, s.Handler(), s.Close), s}
}

// inProcess calls a simulator's handler without a network, for use in synctest bubbles.
func inProcess(t *testing.T, o sim.Options) *client {
	t.Helper()
	s := sim.New(o)
	return &client{servertest.InProcess(t, s.Handler(), s.Close), s}
}

func (c *client) faults(modes ...string) {
	c.T.Helper()
	c.sim.SetFaults(faults(c.T, modes...))
}

func faults(t testing.TB, modes ...string) sim.Faults {
	t.Helper()
	f, err := sim.ParseFaults(modes...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// deeds is a Process that records what was done to it.
type deeds struct {
	mu   sync.Mutex
	done []string
	told chan string
}

func newDeeds() *deeds { return &deeds{told: make(chan string, 16)} }

func (d *deeds) did(what string) {
	d.mu.Lock()
	d.done = append(d.done, what)
	d.mu.Unlock()
	d.told <- what
}

func (d *deeds) Crash()  { d.did("crash") }
func (d *deeds) Exit()   { d.did("exit") }
func (d *deeds) Freeze() { d.did("freeze") }
func (d *deeds) Escape(lifetime time.Duration) error {
	d.did("escape " + lifetime.String())
	return nil
}

func (d *deeds) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.done...)
}

// next waits for the next record.
func (d *deeds) next(t testing.TB) string {
	t.Helper()
	select {
	case what := <-d.told:
		return what
	case <-time.After(servertest.WaitLimit):
		t.Fatal("nothing was done to the process")
		return ""
	}
}
