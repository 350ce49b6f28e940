package hostcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/agent/publish/srv"
)

// dialBudget bounds one connection.
const dialBudget = 3 * time.Second

// Listen checks that an address can be listened on. running reports whether an agent with
// this configuration runs: then the address is its.
func Listen(key, addr string, running func(context.Context) bool) Check {
	return Check{key, func(ctx context.Context) []Result {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		switch {
		case err == nil:
			_ = l.Close()
			return ok("%s is free", addr)
		case errors.Is(err, syscall.EADDRINUSE) && running(ctx):
			return ok("%s is used by the agent that runs", addr)
		case errors.Is(err, syscall.EADDRINUSE):
			return wrong("end the program that listens there (ss -ltnp, or pfiles on illumos), or set another "+key, "%s is in use", addr)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return wrong("give the host this address, or set another "+key, "the host has no address %s", addr)
		}
		return wrong("set another "+key, "%v", err)
	}}
}

// Nexus are Nexus's addresses.
type Nexus struct {
	Addresses []string
	DNS       []netip.AddrPort
	Scheme    string
	// TLS returns the configuration for a server; nil means that of crypto/tls.
	TLS func(server string) (*tls.Config, error)
}

// Reachable checks that Nexus can be connected to. The agent works without it.
func (n Nexus) Reachable() Check {
	return Check{"nexus", func(ctx context.Context) []Result {
		all := n.Addresses
		var results []Result
		if len(n.DNS) > 0 {
			found, err := srv.Lookup(ctx, n.DNS)
			if err != nil {
				results = warning("check nexus.dns, and that the servers have the name", "%v", err)
			}
			if len(found) > 0 {
				all = nil
			}
			for _, addr := range found {
				all = append(all, n.Scheme+"://"+addr.String())
			}
		}
		if len(all) == 0 && len(n.DNS) == 0 {
			return ok("none is configured: standalone, nothing is published")
		}
		for _, base := range all {
			if err := n.dial(ctx, base); err != nil {
				results = append(results, warning("start Nexus, or check nexus.addresses, the network and TLS; "+
					"the agent keeps what it has to publish", "%s: %v", base, err)...)
			} else {
				results = append(results, ok("%s accepts connections", base)...)
			}
		}
		return results
	}}
}

// dial connects to a base URL.
func (n Nexus) dial(ctx context.Context, base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, dialBudget)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	defer conn.Close()
	if u.Scheme != "https" {
		return nil
	}
	cfg := &tls.Config{ServerName: u.Hostname()}
	if n.TLS != nil {
		if cfg, err = n.TLS(u.Hostname()); err != nil {
			return err
		}
	}
	return tls.Client(conn, cfg).HandshakeContext(ctx)
}

// Socket checks that a unix socket can be made at a path.
func Socket(key, path string, running func(context.Context) bool) Check {
	return Check{key, func(ctx context.Context) []Result {
		if running(ctx) {
			return ok("%s is used by the agent that runs", path)
		}
		dir := path[:strings.LastIndex(path, "/")+1]
		if results := writable(dir, key); results != nil {
			return results
		}
		return ok("%s", path)
	}}
}
