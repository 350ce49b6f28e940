package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"

	"github.com/sledagent/sledagent/internal/certs/certstest"
	"github.com/sledagent/sledagent/internal/conns"
)

// webServer serves "metrics" with a web configuration file.
func webServer(t *testing.T, file string) (addr string) {
	t.Helper()
	router := conns.NewRouter(func(c echo.Context, err error) { _ = c.String(http.StatusTeapot, err.Error()) })
	router.GET("/metrics", func(c echo.Context) error {
		conns.Received(c.Request().Context())
		defer conns.Answered(c.Request().Context())
		return c.String(http.StatusOK, "metrics")
	})
	s := conns.NewServer(router, conns.Options{Name: "metrics", Max: 2, ReadHeader: 5 * time.Second, Write: 10 * time.Second,
		Idle: time.Minute, MaxHeader: 1 << 14, Serve: serveWeb(file, zerolog.Nop())})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// The listener for metrics has the TLS and the users of its web configuration file, also of
// one that was changed; with one that was damaged it answers nothing.
func TestWebConfig(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), certstest.New(t)
	pair := ca.Issue(t, "sled")
	file := filepath.Join(dir, "web.yml")
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600),
			os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	users := func(password string) string {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prometheus: %s\n", hash)
	}
	write("cert.pem", string(pair.Cert))
	write("key.pem", string(pair.Key))
	write("web.yml", users("hunter2"))
	if err := checkWeb(file); err != nil {
		t.Fatal(err)
	}
	addr := webServer(t, file)
	get := func(scheme, user, password string) int {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool}, DisableKeepAlives: true, ForceAttemptHTTP2: true}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+addr+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		if res.ProtoMajor != 1 {
			t.Errorf("it speaks %s", res.Proto)
		}
		return res.StatusCode
	}
	for range 3 { // more than there may be connections
		for _, c := range []struct {
			scheme, user, password string
			want                   int
		}{
			{"https", "prometheus", "hunter2", 200}, {"https", "prometheus", "hunter3", 401}, {"https", "root", "hunter2", 401},
			{"https", "", "", 401}, {"http", "prometheus", "hunter2", 400},
		} {
			if got := get(c.scheme, c.user, c.password); got != c.want {
				t.Errorf("%s as %q with %q: %d, want %d", c.scheme, c.user, c.password, got, c.want)
			}
		}
	}
	write("web.yml", users("changed"))
	if old, now := get("https", "prometheus", "hunter2"), get("https", "prometheus", "changed"); old != 401 || now != 200 {
		t.Errorf("after a change the old password gets %d, the new one %d", old, now)
	}
	write("web.yml", "tls_server_config: [")
	if got := get("https", "prometheus", "changed"); got != 0 {
		t.Errorf("with a damaged file: %d", got)
	}
	if err := checkWeb(file); err == nil || !strings.HasPrefix(err.Error(), "metrics.web_config: read "+file+": ") {
		t.Errorf("the error of a damaged file is %v", err)
	}
	write("web.yml", users("mended"))
	if got := get("https", "prometheus", "mended"); got != 200 {
		t.Errorf("with a mended file: %d", got)
	}
	if err := errors.Join(checkWeb("")); err != nil {
		t.Error(err)
	}
	if err := checkWeb(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
