package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"sync/atomic"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/internal/certs"
)

// access is what decides who may do what. Without [api.tls] apiCerts is nil, without [nexus.tls]
// nexusCerts.
type access struct {
	file                 string // of the configuration, for errors
	apiCerts, nexusCerts *certs.Store
	roles                map[string]api.Role // by a name of the client's certificate
	// group is the group whose members may use the admin socket; nil while there is none.
	group atomic.Pointer[int]
}

// openAccess reads what the configuration says of clients. It warns if everybody who reaches the
// sled API may use it.
func (d *daemon) openAccess() error {
	t := d.cfg.API.TLS
	if !t.On() {
		if !d.cfg.API.Listen.Addr().IsLoopback() {
			d.log.Warn().Stringer("listen", d.cfg.API.Listen).
				Msg("sled API is open to every client that reaches its address; [api.tls] is not configured")
		}
		return nil
	}
	d.roles = map[string]api.Role{}
	for _, c := range d.cfg.API.Clients {
		role, err := api.ParseRole(c.Role)
		if err != nil {
			return &config.Error{File: d.file, Key: "api.clients", Reason: err.Error()}
		}
		d.roles[c.Name] = role
	}
	d.apiCerts = certs.New(certs.Files{Cert: t.Cert, Key: t.Key, CA: t.ClientCA}, d.log.Logger)
	return nil
}

// listenAdmin listens on the admin socket. The group is looked up each time: with VMMs in the
// ledger a group that cannot be found just now must not end the start.
func (d *daemon) listenAdmin() (net.Listener, error) {
	name := d.cfg.Admin.Group
	if name == "" {
		return admin.Listen(d.cfg.Admin.Socket)
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return nil, &config.Error{File: d.file, Key: "admin.group", Reason: err.Error()}
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return nil, &config.Error{File: d.file, Key: "admin.group", Reason: err.Error()}
	}
	d.group.Store(&gid)
	return admin.Listen(d.cfg.Admin.Socket, gid)
}

// groups are those whose members may use the admin socket.
func (d *daemon) groups() []int {
	if gid := d.group.Load(); gid != nil {
		return []int{*gid}
	}
	return nil
}

// apiTLS is the TLS of the sled API; nil without.
func (d *daemon) apiTLS() *tls.Config {
	if d.apiCerts == nil {
		return nil
	}
	return d.apiCerts.Server()
}

func (d *daemon) apiScheme() string {
	if d.apiCerts == nil {
		return "http"
	}
	return "https"
}

// listenAPI listens for the sled API. With VMMs in the ledger it is called again after errors, so
// that a file that is missing does not prevent stopping them through the admin socket.
func (d *daemon) listenAPI() (net.Listener, error) {
	if d.apiCerts != nil {
		if err := d.apiCerts.Load(); err != nil {
			return nil, d.badFile("api.tls", err)
		}
	}
	return net.Listen("tcp", d.cfg.API.Listen.String())
}

// loadNexusCerts loads the files of [nexus.tls], and watches these and those of [api.tls]. It
// returns the outcome of the first attempt.
func (d *daemon) loadNexusCerts() *outcome {
	first := newOutcome()
	for _, store := range []*certs.Store{d.apiCerts, d.nexusCerts} {
		if store != nil {
			d.endpoints.Go(func() { store.Watch(d.listening) })
		}
	}
	if d.nexusCerts == nil {
		first.set(nil)
		return first
	}
	d.endpoints.Go(func() {
		d.troubles.retry(d.listening, "nexus.tls", first, func() error { return d.badFile("nexus.tls", d.nexusCerts.Load()) })
	})
	return first
}

// badFile makes an error of a file one of the configuration, with its key in a table.
func (d *daemon) badFile(table string, err error) error {
	bad, ok := errors.AsType[*certs.FileError](err)
	if !ok {
		return err
	}
	part := bad.Part
	if table == "api.tls" && part == "ca" {
		part = "client_ca"
	}
	return &config.Error{File: d.file, Key: table + "." + part, Reason: fmt.Sprintf("%s: %v", bad.Path, bad.Err)}
}
