package api

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/caller"
)

// A Role is what a client may do. Each one includes those before it.
type Role int

const (
	// None is the role of a client without an entry.
	None Role = iota
	// Read permits requests that change nothing.
	Read
	// StopOnly permits stops and unregisters as well.
	StopOnly
	// Operate permits everything.
	Operate
)

var roles = [...]string{None: "none", Read: "read", StopOnly: "stop-only", Operate: "operate"}

func (r Role) String() string { return roles[r] }

// ParseRole returns the role of this name.
func ParseRole(name string) (Role, error) {
	for r := Read; r <= Operate; r++ {
		if roles[r] == name {
			return r, nil
		}
	}
	return None, fmt.Errorf("%q is not a role", name)
}

// A denied is a request for which the client's role does not suffice.
type denied struct {
	who       string
	has, want Role
}

func (d *denied) Error() string {
	if d.has == None {
		return fmt.Sprintf("client %s has no role here; this needs the role %s", d.who, d.want)
	}
	return fmt.Sprintf("client %s has the role %s; this needs the role %s", d.who, d.has, d.want)
}

// Keys of a request's context.
const (
	clientKey = "client" // its name, as a string
	roleKey   = "role"
)

// authorize refuses requests for which the client's role does not suffice. A change of a VMM's
// state is checked again when its body is known.
func (s *Server) authorize(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().TLS == nil && caller.Of(c.Request().Context(), "") != "" {
			return next(c) // the admin socket has admitted it
		}
		who, role := s.identify(c.Request(), time.Now())
		c.Set(clientKey, who)
		c.Set(roleKey, role)
		if err := permit(c, least(c.Request().Method, c.Path())); err != nil {
			return err
		}
		return next(c)
	}
}

// least is the role that a request needs at least. Paths are those of the routes; a route that
// is not named here changes something unless it is a GET.
func least(method, path string) Role {
	switch method + " " + path {
	case http.MethodPut + " /vmms/:propolis_id/state", http.MethodDelete + " /vmms/:propolis_id":
		return StopOnly
	}
	if method == http.MethodGet || method == http.MethodHead {
		return Read
	}
	return Operate
}

// permit returns an error unless the client has the role. Without TLS every client has it.
func permit(c echo.Context, want Role) error {
	has, checked := c.Get(roleKey).(Role)
	if !checked || has >= want {
		return nil
	}
	d := &denied{who: clientOf(c), has: has, want: want}
	return &problem{status: http.StatusForbidden, message: d.Error(), cause: d}
}

// clientOf returns the quoted name of a request's client; empty without TLS.
func clientOf(c echo.Context) string {
	who, _ := c.Get(clientKey).(string)
	return who
}

// identify returns the name of a request's client and its role: the greatest one of all names
// of its certificate. A connection may outlive the certificate, which then has no role.
func (s *Server) identify(r *http.Request, now time.Time) (who string, role Role) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "without a certificate", None
	}
	cert := r.TLS.PeerCertificates[0]
	all := names(cert)
	who = "without a name"
	if len(all) > 0 {
		who = show(all[0])
	}
	if now.After(cert.NotAfter) {
		return who + " with an expired certificate", None
	}
	for _, name := range all {
		if r := s.clients[name]; r > role {
			who, role = show(name), r
		}
	}
	return who, role
}

// names returns the names of a certificate by which a client can have a role.
func names(cert *x509.Certificate) (all []string) {
	if cn := cert.Subject.CommonName; cn != "" {
		all = append(all, cn)
	}
	all = append(all, cert.DNSNames...)
	for _, u := range cert.URIs {
		all = append(all, u.String())
	}
	return all
}
