package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// A stage is a server whose last Machine is a puppet.
type stage struct {
	*servertest.Client
	server *server.Server
	puppet *puppet
}

// staged runs a test in a bubble.
func staged(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{}
		s.server = server.New(server.Options{Newest: dropshot.Version{7}, Make: func(vm *server.VM) server.Machine {
			s.puppet = &puppet{vm: vm}
			return s.puppet
		}})
		s.Client = servertest.InProcess(t, s.server.Handler(), s.server.Close)
		test(t, s)
	})
}

// wantCalls compares what the machine has been called.
func (p *puppet) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, p.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// ensure begins a PUT /instance; its answer follows.
func (s *stage) ensure(body string) <-chan servertest.Reply {
	s.T.Helper()
	got := make(chan servertest.Reply, 1)
	go func() { got <- s.Call("PUT", "/instance", body) }()
	synctest.Wait()
	return got
}

// tell tells the VM something, as the puppet would.
func (s *stage) tell(what func(*server.VM)) {
	s.puppet.vm.Enter(func() { what(s.puppet.vm) })
	synctest.Wait() // for answers that this leads to
}

func publish(states ...server.State) func(*server.VM) {
	return func(vm *server.VM) {
		for _, state := range states {
			vm.Publish(state)
		}
	}
}

func end(in server.State) func(*server.VM) { return func(vm *server.VM) { vm.Ends(in) } }

// A machine does one thing at a time. A step is a request, or what the machine tells; a line is
// what the machine has been called, and the state and the queue after the step.
func TestQueue(t *testing.T) {
	t.Parallel()
	told := map[string]func(*server.VM){
		"made": (*server.VM).Made, "starting": publish(server.Starting), "runs": (*server.VM).Runs, "begins": (*server.VM).Begins,
		"rebooting": publish(server.Rebooting), "stopping": publish(server.Stopping), "runs down": (*server.VM).RunsDown,
		"destroyed": end(server.Destroyed), "failed": end(server.Failed), "obeys": func(vm *server.VM) { vm.Obeys() },
		"migrate": func(vm *server.VM) { vm.MigrateOut(uuid.New()) }, "paused": func(vm *server.VM) { vm.ShowPhase(server.Pause) },
	}
	for name, tc := range map[string]struct{ steps, want string }{
		"start and stop": {"made, Run, starting, runs, Stop, stopping, runs down, destroyed",
			": Creating (not started)|run: Creating (start pending)|: Starting (start pending)|: Running (running)|" +
				"stop: Running (stop queued)|: Stopping (stop queued)|: Stopping (over)|: Destroyed (over)"},
		"one after another": {"made, Run, starting, runs, Reboot, Stop, rebooting, runs",
			": Creating (not started)|run: Creating (start pending)|: Starting (start pending)|: Running (running)|" +
				"reboot: Running (running)|: Running (stop queued)|: Rebooting (stop queued)|stop: Running (stop queued)"},
		"stop of a start": {"made, Run, starting, Stop, failed",
			": Creating (not started)|run: Creating (start pending)|: Starting (start pending)|" +
				"stop starting: Starting (stop queued)|: Failed (over)"},
		"the guest's own reset": {"made, Run, runs, begins, Stop, rebooting, runs",
			": Creating (not started)|run: Creating (start pending)|: Running (running)|: Running (running)|" +
				": Running (stop queued)|: Rebooting (stop queued)|stop: Running (stop queued)"},
		"a migration that fails": {"made, Run, runs, Reboot, migrate, rebooting, runs, paused, runs",
			": Creating (not started)|run: Creating (start pending)|: Running (running)|reboot: Running (running)|" +
				": Running (migration out queued)|: Rebooting (migration out queued)|migrate out: Running (migration out queued)|" +
				": Migrating (migration out queued)|: Running (running)"},
		"the button": {"made, Run, runs, soft Stop, obeys, obeys",
			": Creating (not started)|run: Creating (start pending)|: Running (running)|press: Running (running)|" +
				"stop: Running (stop queued)|: Running (stop queued)"},
		"a failure": {"made, Run, runs, Reboot, Stop, failed",
			": Creating (not started)|run: Creating (start pending)|: Running (running)|reboot: Running (running)|" +
				": Running (stop queued)|: Failed (over)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			staged(t, func(t *testing.T, s *stage) {
				s.ensure(servertest.ColdStart)
				s.puppet.calls = nil
				var got []string
				for step := range strings.SplitSeq(tc.steps, ", ") {
					if tell := told[step]; tell != nil {
						s.tell(tell)
					} else if state, soft := strings.CutPrefix(step, "soft "); soft {
						s.Want(s.Put7(state, "60"), "No Content")
					} else {
						s.Want(s.Put(step), "No Content")
					}
					s.server.Enter(func() {
						vm := s.puppet.vm
						got = append(got, strings.Join(s.puppet.calls, " ")+": "+string(vm.View().State)+" ("+vm.Queue()+")")
						s.puppet.calls = nil
					})
				}
				if diff := cmp.Diff(strings.Split(tc.want, "|"), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// PUT /instance is answered when the machine was made, or was not.
func TestMake(t *testing.T) {
	t.Parallel()
	staged(t, func(t *testing.T, s *stage) {
		got := s.ensure(servertest.ColdStart)
		s.Want(s.Put("Run"), "Failed Dependency NoInstance")
		s.tell(end(server.Failed))
		s.Want(<-got, "Internal Server Error Internal")
		first := s.puppet
		got = s.ensure(servertest.MigrationTarget)
		first.wantCalls(t, "make", "close")
		s.tell((*server.VM).Made)
		s.Want(<-got, "Created")
		s.Want(s.Put("Stop"), "No Content")
		s.puppet.wantCalls(t, "make")
		s.tell((*server.VM).Runs)
		s.puppet.wantCalls(t, "make", "stop")
	})
}

// What a machine tells after Close has no effect.
func TestToldTooLate(t *testing.T) {
	t.Parallel()
	staged(t, func(t *testing.T, s *stage) {
		s.ensure(servertest.ColdStart)
		s.tell((*server.VM).Made)
		s.server.Close()
		s.tell(func(*server.VM) { t.Error("told after Close") })
		s.puppet.wantCalls(t, "make", "close")
	})
}

// A soft request is forced when its time is over.
func TestForced(t *testing.T) {
	t.Parallel()
	staged(t, func(t *testing.T, s *stage) {
		s.ensure(servertest.ColdStart)
		s.tell((*server.VM).Made)
		s.tell((*server.VM).Runs)
		s.Want(s.Put("Run"), "No Content")
		s.tell((*server.VM).Runs)
		s.Want(s.Put7("Reboot", "30"), "No Content")
		time.Sleep(30 * time.Second) // sleep: in a bubble, advances its time
		synctest.Wait()
		s.puppet.wantCalls(t, "make", "run", "press", "reboot")
	})
}

// A recorder is a Machine whose snapshots block until they are released, with an error.
type recorder struct {
	instant
	disk    chan string
	release chan error
}

func (r *recorder) Snapshot(_ context.Context, disk string, _ uuid.UUID) error {
	r.disk <- disk
	return <-r.release
}

// A snapshot does not hold the lock. It fails if the machine cannot take any.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	path := "/instance/disk/" + servertest.DiskID + "/snapshot/" + uuid.NewString()
	r := &recorder{disk: make(chan string, 1), release: make(chan error, 1)}
	c := inProcess(t, server.Options{Make: func(vm *server.VM) server.Machine { r.vm = vm; return r }})
	c.Want(c.Ensure(), "Created")
	for want, err := range map[string]error{"OK": nil, "Internal Server Error Internal": errors.New("no room")} {
		got := make(chan servertest.Reply, 1)
		go func() { got <- c.Call(http.MethodPost, path, "") }()
		if disk := <-r.disk; disk != servertest.DiskID {
			t.Errorf("snapshot of %q", disk)
		}
		c.Want(c.Call("GET", "/instance", ""), "OK")
		r.release <- err
		c.Want(<-got, want)
	}
	staged(t, func(t *testing.T, s *stage) {
		s.ensure(servertest.ColdStart)
		s.tell((*server.VM).Made)
		s.Want(s.Call(http.MethodPost, path, ""), "Not Found")
	})
}
