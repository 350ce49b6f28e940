package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// A fakeProcess is a process whose watchdog has the error err.
type fakeProcess struct {
	err error
	set string // the last SetLogLevel
}

func (p *fakeProcess) Health() admin.Health { return admin.Health{}.Checked("watchdog", p.err) }

func (p *fakeProcess) Ready() admin.Health {
	return p.Health().Checked("sled API", errors.New("it does not listen")).Checked("parts", nil)
}

func (p *fakeProcess) Config() admin.Config {
	return admin.Config{File: "/etc/sled-agent.toml", Values: map[string]any{"zones.max_tasks": 4096.0}}
}

func (p *fakeProcess) LogLevel() admin.LogLevel {
	return admin.LogLevel{Level: "info", Configured: "info"}
}

func (p *fakeProcess) SetLogLevel(by vmm.Who, level string, d time.Duration) (admin.LogLevel, error) {
	p.set = fmt.Sprintf("%s %q %s", by, level, d)
	if level == "loud" {
		return admin.LogLevel{}, errors.New("no such level")
	}
	return admin.LogLevel{Level: level, Configured: "info"}, nil
}

func (p *fakeProcess) Reload(by vmm.Who) (admin.Reloaded, error) {
	p.set = "reload by " + string(by)
	return admin.Reloaded{Applied: []string{"log.level"}, Restart: []string{}}, p.err
}

func TestReload(t *testing.T) {
	t.Parallel()
	p := &fakeProcess{}
	s := serveProcess(t, p)
	code, body := s.do("POST", "/v1/reload", nil)
	if code != 200 || body != `{"applied":["log.level"],"needs_restart":[]}`+"\n" || !strings.HasPrefix(p.set, "reload by operator") {
		t.Errorf("%d %s, %s", code, body, p.set)
	}
	p.err = errors.New("a.toml: log.level: no")
	if code, body := s.do("POST", "/v1/reload", nil); code != 409 || body != `{"message":"a.toml: log.level: no"}`+"\n" {
		t.Errorf("of a wrong file: %d %s", code, body)
	}
	if _, err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "a.toml: log.level: no") {
		t.Errorf("of a wrong file: %v", err)
	}
}

func serveProcess(t *testing.T, p *fakeProcess) *served {
	t.Helper()
	return serveWith(t, admintest.New(admin.About{}), admin.Options{Process: p})
}

func TestHealth(t *testing.T) {
	t.Parallel()
	p := &fakeProcess{}
	s := serveProcess(t, p)
	if code, body := s.do("GET", "/v1/health", nil); code != 200 || body != `{"ok":true,"checks":[{"name":"watchdog","ok":true}]}`+"\n" {
		t.Errorf("healthy: %d %s", code, body)
	}
	code, _ := s.do("GET", "/v1/ready", nil)
	if h, err := s.Ready(t.Context()); code != 503 || err != nil || h.OK || len(h.Checks) != 3 || h.Checks[1].Error != "it does not listen" || !h.Checks[2].OK {
		t.Errorf("not ready: %d %+v, %v", code, h, err)
	}
	p.err = errors.New("it stands still")
	if code, body := s.do("GET", "/v1/health", nil); code != 503 || body != `{"ok":false,"checks":[{"name":"watchdog","ok":false,"error":"it stands still"}]}`+"\n" {
		t.Errorf("unhealthy: %d %s", code, body)
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	p := &fakeProcess{}
	s := serveProcess(t, p)
	for _, c := range []struct {
		method, query string
		code          int
		set           string
	}{
		{"PUT", "level=debug&for=1h", 200, me(t) + ` "debug" 1h0m0s`},
		{"PUT", "level=debug", 200, me(t) + ` "debug" 10m0s`},
		{"PUT", "level=loud", 400, me(t) + ` "loud" 10m0s`},
		{"PUT", "level=debug&for=0s", 400, ""},
		{"PUT", "level=debug&for=25h", 400, ""},
		{"PUT", "level=debug&for=long", 400, ""},
		{"PUT", "", 400, ""},
		{"DELETE", "", 200, me(t) + ` "" 0s`},
	} {
		p.set = ""
		if code, body := s.do(c.method, "/v1/log-level?"+c.query, nil); code != c.code || p.set != c.set {
			t.Errorf("%s %s: %d %s; set %q, want %q", c.method, c.query, code, body, p.set, c.set)
		}
	}
	now, err := s.SetLogLevel(t.Context(), "debug", time.Minute)
	if err != nil || now.Level != "debug" || p.set != me(t)+` "debug" 1m0s` {
		t.Errorf("%+v, %v, set %q", now, err, p.set)
	}
	if _, err := s.ResetLogLevel(t.Context()); err != nil {
		t.Error(err)
	}
	if now, err := s.LogLevel(t.Context()); err != nil || now.Configured != "info" {
		t.Errorf("%+v, %v", now, err)
	}
}

func TestConfigAndGoroutines(t *testing.T) {
	t.Parallel()
	s := serveProcess(t, &fakeProcess{})
	if c, err := s.Config(t.Context()); err != nil || c.File != "/etc/sled-agent.toml" || c.Values["zones.max_tasks"] != 4096.0 {
		t.Errorf("%+v, %v", c, err)
	}
	status, body, err := s.Get(t.Context(), "/v1/goroutines", 4<<20)
	if err != nil || status != 200 || !strings.Contains(string(body), "admin.(*Server).goroutines") {
		t.Errorf("%d %v %s", status, err, body)
	}
	if _, body, err := s.Get(t.Context(), "/v1/goroutines", 100); err == nil || len(body) != 100 {
		t.Errorf("beyond the limit: %d bytes, %v", len(body), err)
	}
}

// The root path of the metrics' address leads to them, and a probe is told of the watchdog.
func TestMetricsListener(t *testing.T) {
	t.Parallel()
	p := &fakeProcess{}
	server := admin.New(admintest.New(admin.About{}), admin.Options{Log: zerolog.Nop(), Process: p})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.ServeMetrics(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		path string
		err  error
		code int
		says string
	}{
		{"/", nil, 200, `<a href="/metrics">`},
		{"/healthz", nil, 200, "ok\n"},
		{"/healthz", errors.New("it stands still"), 503, "watchdog: it stands still\n"},
		{"/metrics", nil, 200, "sled_agent_info"},
		{"/v1/vmms", nil, 404, ""},
		{"/v1/agent", nil, 404, ""},
		{"/v1/config", nil, 404, ""},
		{"/v1/goroutines", nil, 404, ""},
	} {
		p.err = c.err
		res, err := client.Get("http://" + l.Addr().String() + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != c.code || !strings.Contains(string(body), c.says) {
			t.Errorf("%s: %d %q, %v; want %d %q", c.path, res.StatusCode, body, err, c.code, c.says)
		}
	}
}
