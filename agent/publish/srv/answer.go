package srv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxReplicas bounds the targets and the replicas of an answer.
	maxReplicas = 16
	// serverBudget is the time for all questions to one server.
	serverBudget = 5 * time.Second
)

// A replica is the address of one, with the priority of its SRV record: the lowest number
// first.
type replica struct {
	addr     netip.AddrPort
	priority uint16
}

// A target is what an SRV record names, with its addresses. If these could not be looked up,
// lost is true.
type target struct {
	name     string
	port     uint16
	priority uint16
	addrs    []netip.Addr
	lost     bool
}

// An answer is what one server knows.
type answer struct {
	targets []target
	ttl     time.Duration // the shortest of all records that were used
}

// consult asks one server. An answer with an error lacks addresses.
func (r *Resolver) consult(ctx context.Context, server netip.AddrPort) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, serverBudget)
	defer cancel()
	m, err := r.query(ctx, server, Name, dns.TypeSRV)
	if err != nil {
		return a, err
	}
	if a = targetsOf(m.Answer); len(a.targets) == 0 {
		return a, fmt.Errorf("no usable SRV record in an answer of %d", len(m.Answer))
	}
	for i := range a.targets {
		if failed := r.lookUp(ctx, server, &a, &a.targets[i], m.Extra); failed != nil && err == nil {
			err = failed
		}
	}
	if !slices.ContainsFunc(a.targets, func(t target) bool { return t.lost || len(t.addrs) > 0 }) {
		return answer{}, fmt.Errorf("none of %d targets has an address", len(a.targets))
	}
	return a, err
}

// targetsOf returns the targets of the usable SRV records, sorted.
func targetsOf(records []dns.RR) (a answer) {
	a.ttl = maxTTL
	for _, rr := range records {
		s, ok := rr.(*dns.SRV)
		if !ok || dns.CanonicalName(s.Hdr.Name) != Name || s.Port == 0 || s.Target == "." {
			continue // a target "." says that there is no such service
		}
		a.targets = append(a.targets, target{name: dns.CanonicalName(s.Target), port: s.Port, priority: s.Priority})
		a.ttl = min(a.ttl, ttlOf(rr))
	}
	slices.SortFunc(a.targets, func(x, y target) int {
		return cmp.Or(cmp.Compare(x.priority, y.priority), cmp.Compare(x.name, y.name), cmp.Compare(x.port, y.port))
	})
	a.targets = a.targets[:min(len(a.targets), maxReplicas)]
	return a
}

func ttlOf(rr dns.RR) time.Duration { return time.Duration(rr.Header().Ttl) * time.Second }

// lookUp fills in the addresses of t: those in the additional records of a's SRV answer, else
// its IPv6 addresses, else its IPv4 ones. That the server has none is no error.
func (r *Resolver) lookUp(ctx context.Context, server netip.AddrPort, a *answer, t *target, extra []dns.RR) error {
	if a.addresses(t, extra); len(t.addrs) > 0 {
		return nil
	}
	for _, kind := range []uint16{dns.TypeAAAA, dns.TypeA} {
		m, err := r.query(ctx, server, t.name, kind)
		if errors.Is(err, errNoName) {
			return nil
		}
		if err != nil {
			t.lost = true
			return fmt.Errorf("%s of %s: %w", dns.TypeToString[kind], t.name, err)
		}
		if a.addresses(t, m.Answer); len(t.addrs) > 0 {
			return nil
		}
	}
	return nil
}

// addresses adds what records say of t.
func (a *answer) addresses(t *target, records []dns.RR) {
	for _, rr := range records {
		var addr netip.Addr
		switch rr := rr.(type) {
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(rr.AAAA)
		case *dns.A:
			addr, _ = netip.AddrFromSlice(rr.A)
		}
		addr = addr.Unmap()
		if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || dns.CanonicalName(rr.Header().Name) != t.name ||
			slices.Contains(t.addrs, addr) || len(t.addrs) == maxReplicas {
			continue
		}
		t.addrs = append(t.addrs, addr)
		a.ttl = min(a.ttl, ttlOf(rr))
	}
}

// replicas returns the replicas of an answer, sorted, and the addresses of its targets. Those
// that could not be looked up are taken from known.
func (a answer) replicas(known map[string][]netip.Addr) (all []replica, addrs map[string][]netip.Addr) {
	addrs = map[string][]netip.Addr{}
	for _, t := range a.targets {
		if t.lost {
			t.addrs = known[t.name]
		}
		slices.SortFunc(t.addrs, netip.Addr.Compare)
		addrs[t.name] = t.addrs
		for _, addr := range t.addrs {
			p := netip.AddrPortFrom(addr, t.port)
			if len(all) < maxReplicas && !slices.ContainsFunc(all, func(r replica) bool { return r.addr == p }) {
				all = append(all, replica{p, t.priority})
			}
		}
	}
	return all, addrs
}
