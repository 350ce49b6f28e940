package server_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A puppet is a Machine that does nothing by itself. It records its calls.
type puppet struct {
	vm    *server.VM
	calls []string
}

func (p *puppet) called(what string) { p.calls = append(p.calls, what) }

func (p *puppet) Make() { p.called("make") }
func (p *puppet) Begin(r server.Request) {
	p.called([]string{"run", "stop", "reboot", "migrate out"}[r])
}
func (p *puppet) StopStarting() { p.called("stop starting") }
func (p *puppet) Press()        { p.called("press") }
func (p *puppet) Close()        { p.called("close") }

// An instant is a Machine whose VM and snapshots are made at once.
type instant struct{ puppet }

func (i *instant) Make() { i.vm.Made() }

func (i *instant) Snapshot(context.Context, string, uuid.UUID) error { return nil }

func inProcess(t *testing.T, o server.Options) *servertest.Client {
	t.Helper()
	s := newServer(o)
	return servertest.InProcess(t, s.Handler(), s.Close)
}

func overSocket(t *testing.T, o server.Options) *servertest.Client {
	t.Helper()
	s := newServer(o)
	return servertest.OverSocket(t, s.Handler(), s.Close)
}

// newServer returns a server of instants, unless the options say otherwise.
func newServer(o server.Options) *server.Server {
	if o.Make == nil {
		o.Make = func(vm *server.VM) server.Machine { return &instant{puppet{vm: vm}} }
	}
	return server.New(o)
}
