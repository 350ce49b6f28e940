package e2e

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/certs/certstest"
)

// With TLS on both sides a VMM lives, its records reach Nexus, and a client without the role is
// refused. Files that are missing end a start without VMMs with 96, and name the key.
func TestTLS(t *testing.T) {
	h := newHarness(t, setup{manual: true, standalone: true})
	ca := certstest.New(t)
	pair := ca.Issue(t, "agent")
	cert, key := certstest.Write(t, h.dir, "cert.pem", pair.Cert), certstest.Write(t, h.dir, "key.pem", pair.Key)
	root := certstest.Write(t, h.dir, "ca.pem", ca.PEM)

	n := newNexus(t, h.backend, false)
	t.Cleanup(n.close)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	cfg := ca.Client(t, ca.Issue(t, "nexus"))
	cfg.ClientCAs, cfg.ClientAuth = ca.Pool, tls.RequireAndVerifyClientCert
	secure := &http.Server{Handler: n, TLSConfig: cfg}
	go secure.ServeTLS(front, "", "")
	t.Cleanup(func() { _ = secure.Close() })

	h.table("api")["tls"] = section{"cert": cert, "key": key, "client_ca": filepath.Join(h.dir, "none.pem")}
	h.table("api")["clients"] = []section{{"name": "nexus", "role": "operate"}, {"name": "watch", "role": "read"}}
	h.table("nexus")["addresses"] = []string{"https://" + front.Addr().String()}
	h.table("nexus")["tls"] = section{"cert": cert, "key": key, "ca": root}
	run := exec.CommandContext(bounded(t), program("sled-agent"), "run", "--config", writeConfig(t, h.dir, h.config))
	said, err := run.CombinedOutput()
	if code := run.ProcessState.ExitCode(); code != 96 || !strings.Contains(string(said), "api.tls.client_ca") ||
		!strings.Contains(string(said), "no such file") {
		t.Fatalf("exit code %d, %v: %s", code, err, said)
	}

	h.table("api")["tls"] = section{"cert": cert, "key": key, "client_ca": root}
	h.scheme = "https"
	h.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: ca.Client(t, ca.Issue(t, "nexus"))}}
	h.start()
	v := h.register()
	v.run()
	v.observed("Running")
	waitFor(t, func() string {
		if row, ok := n.Row(v.id); !ok || row.Record == nil {
			return "Nexus has no record"
		}
		return ""
	})
	watch := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: ca.Client(t, ca.Issue(t, "watch"))}}
	req, err := http.NewRequest("DELETE", "https://"+h.addr+"/vmms/"+uuid.NewString(), nil)
	must(t, err)
	req.Header.Set("api-version", "48.0.0")
	resp, err := watch.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a client that may only read has unregistered: %s", resp.Status)
	}
	// With a VMM in the ledger the agent starts without a file, and uses it once it is there.
	must(t, os.Rename(root, root+".away"))
	h.agent().kill()
	b := h.spawn()
	waitFor(t, func() string {
		about, err := h.admin.About(bounded(t))
		if err != nil {
			return err.Error()
		}
		if all := strings.Join(about.Troubles, "\n"); !strings.Contains(all, "api.tls.client_ca") || !strings.Contains(all, "nexus.tls.ca") {
			return "troubles are " + all
		}
		return ""
	})
	must(t, os.Rename(root+".away", root))
	h.serves(b)
	v.is(vmm.WireRunning)
	if about := h.about(); about.API != "https://"+h.addr {
		t.Errorf("the API is at %s", about.API)
	}
}
