package publish

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/certs"
	"github.com/sledagent/sledagent/internal/certs/certstest"
)

// A record goes only to a Nexus with a good certificate and TLS 1.3, which gets the agent's one.
func TestTLSTowardsNexus(t *testing.T) {
	t.Parallel()
	ca, other, dir := certstest.New(t), certstest.New(t), t.TempDir()
	pair := ca.Issue(t, "agent")
	store := certs.New(certs.Files{Cert: certstest.Write(t, dir, "cert", pair.Cert), Key: certstest.Write(t, dir, "key", pair.Key),
		CA: certstest.Write(t, dir, "ca", ca.PEM)}, zerolog.Nop())
	put := func(cfg *tls.Config) Answer {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name := r.TLS.PeerCertificates[0].Subject.CommonName; name != "agent" {
				t.Errorf("the client is %q", name)
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		s.Config.ErrorLog = nil
		s.TLS = cfg
		s.StartTLS()
		defer s.Close()
		c := New(Config{Addresses: []string{s.URL}, TLS: store.Client})
		defer closeClient(t, c)
		return c.Put(t.Context(), uuid.New(), running(1))
	}
	server := func(issuer *certstest.CA) *tls.Config {
		cfg := issuer.Client(t, issuer.Issue(t, "nexus"))
		cfg.ClientCAs, cfg.ClientAuth = ca.Pool, tls.RequireAndVerifyClientCert
		return cfg
	}
	old := server(ca)
	old.MaxVersion = tls.VersionTLS12
	if a := put(server(ca)); a.Verdict != CannotTell || !strings.Contains(a.Err.Error(), "not loaded") {
		t.Errorf("before the files are loaded: %+v", a)
	}
	if err := store.Load(); err != nil {
		t.Fatal(err)
	}
	if a := put(server(ca)); a.Verdict != Acked {
		t.Errorf("%+v", a)
	}
	if a := put(server(other)); a.Verdict != CannotTell || !strings.Contains(a.Err.Error(), "unknown authority") {
		t.Errorf("another CA: %+v", a)
	}
	if a := put(old); a.Verdict != CannotTell || !strings.Contains(a.Err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %+v", a)
	}
}
