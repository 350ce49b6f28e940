package main

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/logging"
	"github.com/sledagent/sledagent/config"
)

// One warning is logged if every client that reaches the sled API may use it, unless only this host
// reaches it.
func TestWarningOfAnOpenAPI(t *testing.T) {
	t.Parallel()
	files := config.ServerTLS{Cert: "/c", Key: "/k", ClientCA: "/a"}
	for _, c := range []struct {
		listen string
		tls    config.ServerTLS
		want   int
	}{
		{"[::1]:12345", config.ServerTLS{}, 0}, {"127.0.0.9:1", config.ServerTLS{}, 0}, {"[::1]:12345", files, 0},
		{"[::]:12345", config.ServerTLS{}, 1}, {"0.0.0.0:1", config.ServerTLS{}, 1}, {"[fd00::1]:1", config.ServerTLS{}, 1},
		{"[fd00::1]:1", files, 0},
	} {
		var log strings.Builder
		d := &daemon{cfg: &config.Config{API: config.API{Listen: netip.MustParseAddrPort(c.listen), TLS: c.tls}},
			log: &logging.Log{Logger: zerolog.New(&log)}}
		if err := d.openAccess(); err != nil {
			t.Error(err)
		}
		if got := strings.Count(log.String(), "is open to every client"); got != c.want {
			t.Errorf("%+v: logged %q", c, &log)
		}
	}
}

// A group that does not exist is an error of the configuration, with its key.
func TestUnknownGroup(t *testing.T) {
	t.Parallel()
	d := &daemon{cfg: &config.Config{Admin: config.Admin{Socket: filepath.Join(t.TempDir(), "s"), Group: "no-such-group"}}, access: access{file: "f.toml"}}
	_, err := d.listenAdmin()
	bad, ok := errors.AsType[*config.Error](err)
	if _, status := explain(fatal{err}); !ok || bad.Key != "admin.group" || bad.File != "f.toml" || status != exitConfig {
		t.Errorf("%v", err)
	}
}
