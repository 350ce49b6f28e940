package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent/wire"
)

// overBudget bounds the time from a VMM's removal until it is over (promise L).
const overBudget = 10 * time.Second

// play runs the VMMs, ends all of them, and looks for leftovers.
func (d *demo) play(ctx context.Context) error {
	starting, cancel := context.WithTimeout(ctx, startBudget)
	defer cancel()
	err := d.each(func(i int, f facts) error {
		if err := d.start(starting, i, f); err != nil {
			return fmt.Errorf("start the %s VMM: %w; the end of the agent's log:\n%s", f.name, err, d.agent.tail())
		}
		return nil
	})
	if err != nil {
		return err
	}
	ending, cancel := context.WithTimeout(ctx, d.grace+lateness+overBudget)
	defer cancel()
	var restart errgroup.Group
	if d.host.guests {
		restart.Go(func() error { return d.restartAgent(ending) })
	}
	_ = d.each(func(i int, _ facts) error { d.finish(ending, i); return nil })
	return errors.Join(ctx.Err(), restart.Wait(), d.inspect(ctx))
}

// start registers and runs a VMM, waits until Nexus knows that it runs, identifies its
// resources, and sets its faults.
func (d *demo) start(ctx context.Context, i int, f facts) error {
	path := "/vmms/" + f.id.String()
	options := wire.BodyOptions{PropolisAddr: netip.MustParseAddrPort(f.addr), Hostname: f.name}
	if f.guest != nil {
		options.CPUs, options.MemoryMiB = 1, f.guest.memory
	}
	body := wire.NewBody(options)
	if err := call(ctx, d.sledAddr(), "PUT", path, string(body), nil); err != nil {
		return err
	}
	if err := call(ctx, d.sledAddr(), "PUT", path+"/state", `{"state":{"type":"running"}}`, nil); err != nil {
		return err
	}
	if err := await(ctx, func() bool { return d.askNexus(ctx, i, f.id) == "running" }); err != nil {
		return fmt.Errorf("wait until it runs: %w", err)
	}
	status, err := d.status(ctx, f.id)
	if err != nil {
		return err
	}
	pid, zone, err := d.host.identify(ctx, status.Zone, status.PID)
	if err != nil {
		return fmt.Errorf("find it on the host: %w", err)
	}
	d.note(i, func(f *facts) { f.pid, f.zone = pid, zone })
	if f.guest != nil {
		return d.prepareGuest(ctx, f)
	}
	return call(ctx, f.addr, "PUT", "/sim/faults", f.faults, nil)
}

// A status is a VMM in the agent's admin API, possibly one that has ended.
type status struct {
	Zone   string  `json:"zone"`
	PID    int     `json:"pid"`
	Events []event `json:"events"`
}

func (d *demo) status(ctx context.Context, id uuid.UUID) (s status, err error) {
	err = call(ctx, d.admin, "GET", "/v1/vmms/"+id.String(), "", &s)
	return s, err
}

// finish begins a VMM's end and watches it until it is over or ctx ends. A VMM that is
// not over by then is reported by judge.
func (d *demo) finish(ctx context.Context, i int) {
	d.note(i, func(f *facts) { f.sent = time.Now() })
	var stopping sync.WaitGroup
	stopping.Go(func() {
		err := d.stop(ctx, d.look()[i])
		d.note(i, func(f *facts) {
			f.answered = time.Now()
			if err != nil {
				f.refusal = err.Error()
			}
		})
	})
	_ = await(ctx, func() bool { return d.watch(ctx, i) })
	stopping.Wait()
}

func (d *demo) stop(ctx context.Context, f facts) error {
	if f.byItself {
		return call(ctx, f.addr, "POST", "/sim/do/guest-poweroff", "", nil)
	}
	path := fmt.Sprintf("/vmms/%s/state?grace=%v", f.id, d.grace)
	if f.guest != nil {
		return d.stopGuest(ctx, f, path)
	}
	return call(ctx, d.sledAddr(), "PUT", path, `{"state":{"type":"stopped"}}`, nil)
}

// watch checks a VMM once from outside and reports whether it is over.
func (d *demo) watch(ctx context.Context, i int) bool {
	f, now := d.look()[i], time.Now()
	if f.dead.IsZero() && !alive(f.pid) {
		d.note(i, func(f *facts) { f.dead = now })
	}
	err := call(ctx, d.sledAddr(), "GET", "/vmms/"+f.id.String()+"/state", "", nil)
	// Nexus is asked after the agent: it must have what the agent has forgotten.
	state := d.askNexus(ctx, i, f.id)
	if f.forgotten.IsZero() && errors.Is(err, errUnknownVMM) {
		d.note(i, func(f *facts) { f.forgotten, f.atNexus = now, state })
	}
	if status, err := d.status(ctx, f.id); err == nil {
		d.note(i, func(f *facts) { f.events = joined(f.events, status.Events) })
	}
	return d.look()[i].over()
}

// askNexus records and returns the VMM's state in Nexus, empty if it has none.
func (d *demo) askNexus(ctx context.Context, i int, id uuid.UUID) string {
	var row struct {
		Record struct {
			VMM struct {
				State string `json:"state"`
			} `json:"vmm_state"`
		} `json:"record"`
	}
	if call(ctx, d.control, "GET", "/vmms/"+id.String(), "", &row) == nil {
		d.note(i, func(f *facts) { f.state = row.Record.VMM.State })
	}
	return row.Record.VMM.State
}

// inspect looks for leftovers after the end, and collects the contradictions that Nexus
// has recorded.
func (d *demo) inspect(ctx context.Context) error {
	var violations []struct {
		VMM  uuid.UUID `json:"vmm"`
		Text string    `json:"text"`
	}
	if err := call(ctx, d.control, "GET", "/sim/violations", "", &violations); err != nil {
		return fmt.Errorf("ask Nexus for contradictions: %w", err)
	}
	return d.each(func(i int, f facts) error {
		d.watch(ctx, i)
		left, err := d.host.look(ctx, f.zone)
		if err != nil {
			return fmt.Errorf("look for what is left of the %s VMM: %w", f.name, err)
		}
		if conn, err := net.DialTimeout("tcp", f.addr, askBudget); err == nil {
			_ = conn.Close()
			left = append(left, "a server at "+f.addr)
		}
		d.note(i, func(f *facts) {
			f.left = left
			for _, v := range violations {
				if v.VMM == f.id {
					f.contradictions = append(f.contradictions, v.Text)
				}
			}
		})
		return nil
	})
}

// askBudget bounds one request or command.
const askBudget = 3 * time.Second

// errUnknownVMM is the agent's answer for a VMM that it does not know.
var errUnknownVMM = errors.New("NO_SUCH_INSTANCE")

// call makes a request and decodes the answer into into, unless that is nil. The server
// is a TCP address or the path of a socket. Connections are not kept, so that none is
// left when the demo ends.
func call(ctx context.Context, server, method, path, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://server"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("api-version", "48.0.0") // The sled API's.
	if strings.HasPrefix(path, "/instance") {
		req.Header.Set("api-version", propolisVersion)
	}
	req.Header.Set("content-type", "application/json")
	network := "tcp"
	if strings.HasPrefix(server, "/") {
		network = "unix"
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		},
	}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		text, _ := io.ReadAll(res.Body) // The status is enough.
		if res.StatusCode == http.StatusNotFound && strings.Contains(string(text), errUnknownVMM.Error()) {
			return errUnknownVMM
		}
		return fmt.Errorf("%s %s: answer %s: %s", method, path, res.Status, strings.TrimSpace(string(text)))
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}
