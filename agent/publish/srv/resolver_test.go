package srv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fake = "fd00::53"

// A rig is a Resolver in a bubble, whose servers answer from memory.
type rig struct {
	*Resolver
	mu      sync.Mutex
	zone    map[string]string // records by name and type, one a line
	fail    func(server netip.AddrPort, name string, kind uint16) error
	asked   []string
	at      []time.Time // of SRV questions
	found   [][]netip.AddrPort
	reports []error
	end     func() // ends the Resolver
}

func newRig(t *testing.T, servers int) *rig {
	g := &rig{zone: map[string]string{}}
	var all []netip.AddrPort
	for i := range servers {
		all = append(all, netip.AddrPortFrom(netip.MustParseAddr(fake), uint16(i+1)))
	}
	g.Resolver = New(Options{Servers: all, Log: zerolog.Nop(),
		Found:  func(f []netip.AddrPort) { g.found = append(g.found, f) },
		Report: func(err error) { g.reports = append(g.reports, err) }})
	g.ask = g.answer
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		synctest.Wait() // the test sets its zone first
		g.Run(ctx)
	}()
	g.end = func() { cancel(); <-done }
	t.Cleanup(g.end)
	return g
}

func (g *rig) answer(ctx context.Context, network string, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name, kind := q.Question[0].Name, q.Question[0].Qtype
	g.asked = append(g.asked, fmt.Sprintf("%d %s %s", server.Port(), dns.TypeToString[kind], name))
	if kind == dns.TypeSRV {
		g.at = append(g.at, time.Now())
	}
	if g.fail != nil {
		if err := g.fail(server, name, kind); err != nil {
			return nil, err
		}
	}
	m := new(dns.Msg).SetReply(q)
	records, ok := g.zone[dns.TypeToString[kind]+" "+name]
	if !ok {
		m.Rcode = dns.RcodeNameError
	}
	for line := range strings.Lines(records) {
		rr, err := dns.NewRR(strings.TrimSpace(line))
		if err != nil {
			panic(err)
		}
		if rr != nil && rr.Header().Rrtype == kind {
			m.Answer = append(m.Answer, rr)
		} else if rr != nil {
			m.Extra = append(m.Extra, rr)
		}
	}
	return m, nil
}

func (g *rig) set(kind, name, records string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.zone[kind+" "+name] = strings.ReplaceAll(records, "@", Name)
}

func (g *rig) break_(f func(server netip.AddrPort, name string, kind uint16) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = f
}

// last returns the last set that was found, sorted.
func (g *rig) last() string {
	if len(g.found) == 0 {
		return ""
	}
	all := slices.Clone(g.found[len(g.found)-1])
	slices.SortFunc(all, netip.AddrPort.Compare)
	return fmt.Sprint(all)
}

func bubble(t *testing.T, f func(*testing.T)) {
	t.Parallel()
	synctest.Test(t, f)
}

// pass lets time pass, until nothing happens at its end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

const twoReplicas = `
	@ 60 IN SRV 0 0 12221 a.nexus.
	@ 60 IN SRV 0 0 12222 b.nexus.
	a.nexus. 60 IN AAAA fd00::a
	b.nexus. 60 IN AAAA fd00::b`

func TestAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, c := range []struct{ name, srv, want string }{
			{"both in the additional records", twoReplicas, "[[fd00::a]:12221 [fd00::b]:12222]"},
			{"one address has to be asked for", "@ 60 IN SRV 0 0 1 a.nexus.\n@ 60 IN SRV 0 0 2 c.nexus.\na.nexus. 60 IN AAAA fd00::a",
				"[[fd00::a]:1 [fd00::c]:2]"},
			{"only IPv4", "@ 60 IN SRV 0 0 1 four.nexus.", "[192.0.2.4:1]"},
			{"two addresses of a target", "@ 60 IN SRV 0 0 1 a.nexus.\na.nexus. 60 IN AAAA fd00::a\na.nexus. 60 IN A 192.0.2.1",
				"[192.0.2.1:1 [fd00::a]:1]"},
			{"the same twice", "@ 60 IN SRV 0 0 1 c.nexus.\n@ 60 IN SRV 5 0 1 c.nexus.", "[[fd00::c]:1]"},
			{"a target in another case", "@ 60 IN SRV 0 0 1 A.Nexus.\na.nexus. 60 IN AAAA fd00::a", "[[fd00::a]:1]"},
			{"a target without an address beside one", "@ 60 IN SRV 0 0 1 none.nexus.\n@ 60 IN SRV 0 0 1 c.nexus.", "[[fd00::c]:1]"},
			{"addresses of others", "@ 60 IN SRV 0 0 1 c.nexus.\nother. 60 IN AAAA fd00::f", "[[fd00::c]:1]"},
			{"useless addresses", "@ 60 IN SRV 0 0 1 c.nexus.\nc.nexus. 60 IN AAAA ::\nc.nexus. 60 IN AAAA ff02::1\nc.nexus. 60 IN A 0.0.0.0",
				"[[fd00::c]:1]"},
			{"no such service", "@ 60 IN SRV 0 0 1 .", ""},
			{"port 0", "@ 60 IN SRV 0 0 0 c.nexus.", ""},
			{"records of another name", "_other._tcp. 60 IN SRV 0 0 1 c.nexus.", ""},
			{"no records", "", ""},
			{"only a target without an address", "@ 60 IN SRV 0 0 1 none.nexus.", ""},
		} {
			g := newRig(t, 1)
			g.set("SRV", Name, c.srv)
			g.set("AAAA", "c.nexus.", "c.nexus. 60 IN AAAA fd00::c")
			g.set("AAAA", "four.nexus.", "")
			g.set("A", "four.nexus.", "four.nexus. 60 IN A 192.0.2.4")
			pass(time.Millisecond)
			g.end()
			if got := g.last(); got != c.want || (g.reports[0] == nil) != (c.want != "") {
				t.Errorf("%s: found %s with error %v, want %s", c.name, got, g.reports[0], c.want)
			}
		}
	})
}

// An answer of any number of records is used up to a limit, and always the same part of it.
func TestManyRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, 1)
		var b strings.Builder
		for i := range 200 {
			fmt.Fprintf(&b, "@ 5 IN SRV 0 0 1 t%03d.\nt%03d. 5 IN AAAA fd00::%x\n", i, i, i+1)
		}
		g.set("SRV", Name, b.String())
		pass(time.Minute)
		if len(g.found) != 1 || len(g.found[0]) != maxReplicas || len(g.asked) < 5 {
			t.Errorf("%d sets, %v, after %d questions", len(g.found), g.found, len(g.asked))
		}
	})
}

// The next resolution is after the shortest TTL of the records that were used, within bounds.
func TestTTL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, c := range []struct {
			srv, aaaa int
			want      time.Duration
		}{{60, 60, time.Minute}, {60, 30, 30 * time.Second}, {30, 60, 30 * time.Second}, {0, 60, minTTL}, {60, 1, minTTL},
			{1 << 31, 1 << 30, maxTTL}} {
			g := newRig(t, 1)
			g.set("SRV", Name, fmt.Sprintf("@ %d IN SRV 0 0 1 a.\na. %d IN AAAA fd00::a", c.srv, c.aaaa))
			pass(11 * time.Minute)
			g.end()
			if got := g.at[1].Sub(g.at[0]); got != c.want {
				t.Errorf("%+v: asked again after %v", c, got)
			}
		}
	})
}

// Whatever follows a good answer, only another good one replaces its replicas. Failures are
// repeated with growing pauses, and the way back is found.
func TestNothingReplacesAGoodAnswer(t *testing.T) {
	failures := map[string]func(*rig){
		"NXDOMAIN":   func(g *rig) { g.mu.Lock(); delete(g.zone, "SRV "+Name); g.mu.Unlock() },
		"no records": func(g *rig) { g.set("SRV", Name, "") },
		"no service": func(g *rig) { g.set("SRV", Name, "@ 60 IN SRV 0 0 1 .") },
		"no address": func(g *rig) { g.set("SRV", Name, "@ 60 IN SRV 0 0 1 gone.nexus.") },
		"no answer": func(g *rig) {
			g.break_(func(netip.AddrPort, string, uint16) error { return context.DeadlineExceeded })
		},
		"refused": func(g *rig) {
			g.break_(func(netip.AddrPort, string, uint16) error { return syscall.ECONNREFUSED })
		},
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				g := newRig(t, 2)
				g.set("SRV", Name, twoReplicas)
				pass(time.Minute - time.Second)
				fail(g)
				pass(time.Hour)
				if len(g.found) != 1 || g.reports[len(g.reports)-1] == nil {
					t.Errorf("found %v; reports end with %v", g.found, g.reports[len(g.reports)-1])
				}
				last := g.at[len(g.at)-1].Sub(g.at[len(g.at)-3]) // two servers
				if st := g.Stats(); last < maxPause/2 || last > 3*maxPause/2 || st.Failed > 300 || st.Failed < 80 || time.Since(st.Good) < time.Hour {
					t.Errorf("last pause %v; %+v", last, st)
				}
				g.break_(nil)
				g.set("SRV", Name, "@ 60 IN SRV 0 0 1 c.\nc. 60 IN AAAA fd00::c")
				pass(time.Minute)
				if g.last() != "[[fd00::c]:1]" || g.reports[len(g.reports)-1] != nil {
					t.Errorf("then found %s", g.last())
				}
			})
		})
	}
}

// A target that cannot be looked up keeps its addresses; beside a new one that can be, it does
// not prevent that from being used.
func TestTargetThatCannotBeLookedUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, 1)
		for _, name := range []string{"a.", "b.", "c."} {
			g.set("AAAA", name, name+" 60 IN AAAA fd00::"+name[:1])
		}
		g.set("SRV", Name, "@ 60 IN SRV 0 0 1 a.\n@ 60 IN SRV 0 0 1 b.")
		pass(time.Second)
		g.break_(func(_ netip.AddrPort, name string, _ uint16) error {
			if name == "a." {
				return context.DeadlineExceeded
			}
			return nil
		})
		g.set("SRV", Name, "@ 60 IN SRV 0 0 1 a.\n@ 60 IN SRV 0 0 1 c.")
		pass(2 * time.Minute)
		if got := g.last(); got != "[[fd00::a]:1 [fd00::c]:1]" {
			t.Errorf("found %s", got)
		}
		if err := g.reports[len(g.reports)-1]; err == nil || !strings.Contains(err.Error(), "AAAA of a.: no answer within 2s") {
			t.Errorf("reported %v", err)
		}
	})
}

// The first answer counts, even an incomplete one.
func TestIncompleteFirstAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, 2)
		g.set("SRV", Name, "@ 60 IN SRV 0 0 1 a.\n@ 60 IN SRV 0 0 1 b.\nb. 60 IN AAAA fd00::b")
		g.break_(func(_ netip.AddrPort, name string, _ uint16) error {
			if name == "a." {
				return errors.New("damaged")
			}
			return nil
		})
		pass(time.Second / 2)
		if got := g.last(); got != "[[fd00::b]:1]" || g.reports[0] == nil {
			t.Errorf("found %s, reported %v", got, g.reports[0])
		}
	})
}

// A server that gives no answer is not asked first again.
func TestServersInTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, 3)
		g.set("SRV", Name, twoReplicas)
		g.break_(func(s netip.AddrPort, _ string, _ uint16) error {
			if s.Port() == 1 {
				return context.DeadlineExceeded
			}
			return nil
		})
		pass(time.Minute + time.Second)
		want := []string{"1 SRV " + Name, "2 SRV " + Name, "2 SRV " + Name}
		if !slices.Equal(g.asked, want) || slices.ContainsFunc(g.reports, func(err error) bool { return err != nil }) {
			t.Errorf("asked %q, reported %v", g.asked, g.reports)
		}
	})
}

// A lower number comes first; among equals the order is not always the same.
func TestPriority(t *testing.T) {
	bubble(t, func(t *testing.T) {
		firsts := map[string]bool{}
		for range 100 {
			g := newRig(t, 1)
			g.set("SRV", Name, twoReplicas+"\n@ 60 IN SRV 9 0 1 last.\nlast. 60 IN AAAA fd00::1")
			pass(time.Millisecond)
			g.end()
			if got := g.found[0]; got[2].String() != "[fd00::1]:1" {
				t.Fatalf("found %v", got)
			}
			firsts[g.found[0][0].String()] = true
		}
		if len(firsts) != 2 {
			t.Errorf("first is always one of %v", firsts)
		}
	})
}
