package standin

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// manifest is what the service's properties are where no profile says otherwise.
var manifest = map[string]string{
	"config/datalink": "unknown", "config/gateway": "unknown", "config/listen_addr": "unknown",
	"config/listen_port": "12400", "config/metric_addr": "unknown",
}

// method is the service's start method. It returns the server's argv, or the
// state that the service is in because it cannot start.
func (i *zoneinit) method() (argv []string, refused Service) {
	if state := i.importProfile(); state != "" {
		return nil, settled(state, "")
	}
	z, _ := i.Zones.Get(i.zone)
	get := func(name string) string { return z.Properties["config/"+name] }
	for _, name := range []string{"datalink", "gateway"} {
		if get(name) == "unknown" {
			i.log("ERROR: %s is not set", name)
			return nil, settled("maintenance", "Start method exited with $SMF_EXIT_ERR_CONFIG.")
		}
	}
	addr, err := netip.ParseAddrPort(hostPort(get("listen_addr"), get("listen_port")))
	_, badGateway := netip.ParseAddr(get("gateway"))
	if err != nil || badGateway != nil || !slices.Contains(z.Config.Links(), get("datalink")) {
		i.log("ERROR: cannot use datalink %q, gateway %q, address %q, port %q",
			get("datalink"), get("gateway"), get("listen_addr"), get("listen_port"))
		return nil, settled("maintenance", "Start method exited with $SMF_EXIT_ERR_FATAL.")
	}
	return i.serverArgv(addr), Service{}
}

func hostPort(addr, port string) string {
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	return addr + ":" + port
}

func (i *zoneinit) serverArgv(addr netip.AddrPort) []string {
	argv := slices.Clone(i.Options().Server)
	if len(argv) == 0 {
		argv = []string{i.program, "serve", "{addr}"}
	}
	r := strings.NewReplacer("{addr}", addr.String(), "{ip}", addr.Addr().String(),
		"{port}", fmt.Sprint(addr.Port()), "{zone}", i.zone, "{root}", i.root(i.zone))
	for n, word := range argv {
		argv[n] = r.Replace(word)
	}
	return argv
}

// importProfile gives the service its properties at the zone's first boot. It
// returns the state the service is in if it is not to be started.
func (i *zoneinit) importProfile() (state string) {
	properties, enabled := maps.Clone(manifest), true
	path := filepath.Join(i.root(i.zone), profileDir, "site.xml")
	if text, err := os.ReadFile(path); err != nil {
		i.log("no profile: %v", err)
	} else if p, err := parseProfile(text, i.Options().Service); err != nil {
		i.log("svccfg: couldn't apply %s: %v", path, err)
	} else {
		maps.Copy(properties, p.properties)
		enabled = p.enabled
	}
	i.update(func(z *Zone) {
		if z.Properties == nil {
			z.Properties = properties
		}
	})
	if !enabled {
		return "disabled"
	}
	return ""
}

// serve is the server that a zone has if the test names none.
func serve(addr string) int {
	server := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}
