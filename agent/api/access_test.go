package api_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/internal/certs"
	"github.com/sledagent/sledagent/internal/certs/certstest"
)

// A secured is a site with TLS.
type secured struct {
	*site
	ca   *certstest.CA
	log  *logBook
	fake *fakeAgent
}

func serveTLS(t *testing.T, o api.Options) *secured {
	t.Helper()
	s := &secured{ca: certstest.New(t), log: new(logBook), fake: new(fakeAgent)}
	dir, pair := t.TempDir(), s.ca.Issue(t, "agent")
	store := certs.New(certs.Files{Cert: certstest.Write(t, dir, "cert", pair.Cert), Key: certstest.Write(t, dir, "key", pair.Key),
		CA: certstest.Write(t, dir, "ca", s.ca.PEM)}, zerolog.Nop())
	if err := store.Load(); err != nil {
		t.Fatal(err)
	}
	o.Log, o.TLS = zerolog.New(s.log), store.Server()
	o.Clients = map[string]api.Role{"watch": api.Read, "stopper": api.StopOnly, "nexus": api.Operate, "spiffe://rack/nexus": api.Operate}
	s.site = serve(t, s.fake, o)
	return s
}

// client returns a client with a certificate.
func (s *secured) client(name string, change ...func(*x509.Certificate)) *http.Client {
	return httpClient(s.t, s.ca.Client(s.t, s.ca.Issue(s.t, name, change...)))
}

func httpClient(t *testing.T, c *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: c}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// as is the site for another client.
func (s *secured) as(c *http.Client) *site {
	other := *s.site
	other.client = c
	return &other
}

// Each role may do what it is for; a refusal names the client and the role, is logged, and does
// not reach the agent.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, api.Options{})
	operations := []struct {
		name, method, path, body string
		least                    api.Role
	}{
		{"state", "GET", stateURL, "", api.Read},
		{"zones", "GET", "/zones", "", api.Read},
		{"identifiers", "GET", "/sled-identifiers", "", api.Read},
		{"stop", "PUT", stateURL, stateBody("stopped"), api.StopOnly},
		{"stop with grace", "PUT", stateURL + "?grace=1s", stateBody("stopped"), api.StopOnly},
		{"unregister", "DELETE", vmmURL, "", api.StopOnly},
		{"run", "PUT", stateURL, stateBody("running"), api.Operate},
		{"reboot", "PUT", stateURL, stateBody("reboot"), api.Operate},
		{"snapshot", "POST", snapURL, snapshotBody, api.Operate},
		{"register", "PUT", vmmURL, string(wiretest.Full()), api.Operate},
	}
	refused := 0
	for _, client := range []struct {
		name   string
		role   api.Role
		change []func(*x509.Certificate)
	}{
		{"nexus", api.Operate, nil}, {"stopper", api.StopOnly, nil}, {"watch", api.Read, nil}, {"stranger", api.None, nil}, {"", api.None, nil},
		{"by-uri", api.Operate, []func(*x509.Certificate){certstest.URI(t, "spiffe://rack/nexus")}},
		{"by-dns", api.StopOnly, []func(*x509.Certificate){func(c *x509.Certificate) { c.DNSNames = []string{"other", "stopper", "watch"} }}},
	} {
		c := s.client(client.name, client.change...)
		for _, op := range operations {
			before := s.fake.called()
			answer := s.as(c).do(op.method, op.path, op.body)
			status := answer.StatusCode
			if client.role >= op.least {
				if status != http.StatusOK && status != http.StatusCreated {
					t.Errorf("%s for %q: %d %s", op.name, client.name, status, answer.body)
				}
				continue
			}
			var problem api.Error
			if err := json.Unmarshal([]byte(answer.body), &problem); err != nil || status != http.StatusForbidden || problem.RequestID == "" ||
				!strings.Contains(problem.Message, "this needs the role ") ||
				client.name != "" && client.name[:3] != "by-" && !strings.Contains(problem.Message, `"`+client.name+`"`) {
				t.Errorf("%s for %q: %d %s", op.name, client.name, status, answer.body)
			}
			if after := s.fake.called(); after != before {
				t.Errorf("%s for %q reached the agent: %s", op.name, client.name, strings.TrimPrefix(after, before))
			}
			if refused++; refused > 10 { // of more per second some are not logged
				continue
			}
			if line := s.log.find("request_id", problem.RequestID); line["level"] != "warn" || line["client"] == nil || line["error"] == nil {
				t.Errorf("%s for %q is logged as %v", op.name, client.name, line)
			}
		}
	}
	if r := s.as(s.client("watch")).do("PUT", "/nothing", ""); r.StatusCode != http.StatusForbidden {
		t.Errorf("a path that does not exist: %s", r.Status)
	}
}

// Clients without a good certificate, and those with an older TLS, get no answer at all.
func TestClientsWithoutAGoodCertificate(t *testing.T) {
	t.Parallel()
	s, other := serveTLS(t, api.Options{}), certstest.New(t)
	good := s.ca.Client(t, s.ca.Issue(t, "nexus"))
	old, none, foreign := good.Clone(), good.Clone(), good.Clone()
	old.MaxVersion = tls.VersionTLS12
	none.Certificates = nil
	foreign.Certificates = other.Client(t, other.Issue(t, "nexus")).Certificates
	for name, c := range map[string]*tls.Config{"TLS 1.2": old, "no certificate": none, "another CA": foreign,
		"expired": s.ca.Client(t, s.ca.Issue(t, "nexus", certstest.Expired))} {
		if resp, err := httpClient(t, c).Get("https://" + s.addr + "/zones"); err == nil {
			resp.Body.Close()
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	resp, err := httpClient(t, nil).Get("http://" + s.addr + "/zones")
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("plain HTTP is answered")
		}
	}
	if r := s.as(httpClient(t, good)).do("GET", "/zones", ""); r.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %s", r.Status)
	}
}

// Clients that never finish their handshakes hold no place for long.
func TestStalledHandshakes(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, api.Options{Conns: 4})
	for range 12 {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil { // the beginning of a ClientHello
			t.Fatal(err)
		}
	}
	for range 3 {
		if r := s.as(s.client("nexus")).do("GET", "/zones", ""); r.StatusCode != http.StatusOK {
			t.Errorf("answered with %s", r.Status)
		}
	}
}
