package standin

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// restarts is the number of restarts of a server before SMF puts it into maintenance.
const restarts = 10

// smfStep is the time from boot until a zone's repository answers, and from then until
// the server's service starts.
const smfStep = 5 * time.Millisecond

// startInit starts the zone's init and sets the zone's state to running.
func (d *zoneadmd) startInit() {
	d.Change(d.zone, func(z *Zone) {
		if d.closing() {
			return
		}
		cmd := d.process(d.zone, d.program, "zoneinit", d.zone)
		cmd.Stderr = os.Stderr
		check(cmd.Start())
		z.State, z.InitPID, z.Repository, z.Service = Running, cmd.Process.Pid, false, Service{}
		d.init.Store(int64(z.InitPID))
		check(cmd.Process.Release())
	})
}

// A zoneinit simulates a zone's init, svc.startd and svc.configd. It keeps the zone's
// server running.
type zoneinit struct {
	*host
	zone string
	// server is nil if it does not run.
	server *exec.Cmd
}

// zoneinit is the main function of a zone's init.
func (h *host) zoneinit(zone string) int {
	i := &zoneinit{host: h, zone: zone}
	time.Sleep(smfStep)
	i.update(func(z *Zone) { z.Repository, z.Service = true, Service{State: "offline", Next: "online"} })
	time.Sleep(smfStep)
	for failures := 0; ; failures++ {
		if failures > restarts {
			i.rest("maintenance", "Restarting too quickly.")
		} else {
			i.start()
		}
		if i.server == nil {
			time.Sleep(1 << 62) // until the zone ends
		}
		_ = i.server.Wait()
		i.server = nil
		time.Sleep(2 * smfStep)
	}
}

// update changes the zone. It ends the process if this is no longer the zone's init.
func (i *zoneinit) update(change func(*Zone)) {
	ours := false
	i.Change(i.zone, func(z *Zone) {
		if ours = z.InitPID == os.Getpid(); ours {
			change(z)
		}
	})
	if !ours {
		os.Exit(0)
	}
}

// rest sets the server's service to a state without a next one.
func (i *zoneinit) rest(state, reason string) {
	i.set(Service{State: state, Next: "-", Reason: reason})
}

func (i *zoneinit) set(s Service) {
	i.update(func(z *Zone) {
		z.Service, z.ServerPID = s, 0
		if i.server != nil {
			z.ServerPID = i.server.Process.Pid
		}
	})
}

// start runs the service's start method.
func (i *zoneinit) start() {
	i.set(Service{State: "offline", Next: "online"})
	if f := i.apply(point{when: Before, command: "svc.startd", object: i.zone}); f != nil {
		i.rest("maintenance", cmp.Or(f.Text, "Start method failed repeatedly, last exited with status 1."))
		return
	}
	if err := i.launch(); err != nil {
		i.log(err)
		i.rest("maintenance", err.Error())
		return
	}
	i.rest("online", "")
}

func (i *zoneinit) launch() error {
	argv, err := i.method()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(i.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := i.process(i.zone, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	i.server = cmd
	return nil
}

func (i *zoneinit) logFile() string {
	z, _ := i.Zones.Get(i.zone)
	return filepath.Join(z.Config.root(), serviceLog)
}

func (i *zoneinit) log(err error) {
	f, openErr := os.OpenFile(i.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if openErr != nil {
		return // the zone has no such directory
	}
	defer f.Close()
	fmt.Fprintf(f, "[ %s ]\n", err)
}

// Paths below a zone's root: the directory of SMF profiles, and the server's log.
const (
	profileDir = "var/svc/profile"
	serviceLog = "var/svc/log/system-illumos-propolis-server:default.log"
)

// method simulates the service's start method. It returns the server's argv.
func (i *zoneinit) method() ([]string, error) {
	z, _ := i.Zones.Get(i.zone)
	properties := z.Properties
	if properties == nil {
		var err error
		if properties, err = parseProfile(filepath.Join(z.Config.root(), profileDir, "site.xml")); err != nil {
			return nil, err
		}
		i.update(func(z *Zone) { z.Properties = properties })
	}
	get := func(name string) string { return properties["config/"+name] }
	addr, err := netip.ParseAddrPort(net.JoinHostPort(get("listen_addr"), get("listen_port")))
	_, badGateway := netip.ParseAddr(get("gateway"))
	if err != nil || badGateway != nil || !slices.Contains(z.Config.Links(), get("datalink")) {
		return nil, fmt.Errorf("cannot use datalink %q, gateway %q, address %q, port %q",
			get("datalink"), get("gateway"), get("listen_addr"), get("listen_port"))
	}
	argv := i.Options().Server
	if len(argv) == 0 {
		argv = []string{i.program, "serve", "{addr}"}
	}
	r := strings.NewReplacer("{addr}", addr.String(), "{ip}", addr.Addr().String(),
		"{port}", get("listen_port"), "{zone}", i.zone, "{root}", z.Config.root())
	for n, word := range argv {
		argv[n] = r.Replace(word)
	}
	return argv, nil
}

// A profile is the part of an SMF profile that concerns one instance.
type profile struct {
	XMLName xml.Name `xml:"service_bundle"`
	Type    string   `xml:"type,attr"`
	Service struct {
		Name     string `xml:"name,attr"`
		Instance struct {
			Name    string `xml:"name,attr"`
			Enabled bool   `xml:"enabled,attr"`
			Groups  []struct {
				Name   string `xml:"name,attr"`
				Values []struct {
					Name  string `xml:"name,attr"`
					Type  string `xml:"type,attr"`
					Value string `xml:"value,attr"`
				} `xml:"propval"`
			} `xml:"property_group"`
		} `xml:"instance"`
	} `xml:"service"`
}

// doctype is the declaration that svccfg(8) requires of a profile.
const doctype = `<!DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1">`

// parseProfile returns the properties of the server's service in a profile.
func parseProfile(path string) (properties map[string]string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var p profile
	err = xml.Unmarshal(text, &p)
	fmri := "svc:/" + p.Service.Name + ":" + p.Service.Instance.Name
	if err == nil && (!strings.Contains(string(text), doctype) || p.Type != "profile" || fmri != DefaultService || !p.Service.Instance.Enabled) {
		err = errors.New("it does not enable " + DefaultService)
	}
	if err != nil {
		return nil, fmt.Errorf("svccfg: couldn't apply %s: %w", path, err)
	}
	properties = make(map[string]string)
	for _, group := range p.Service.Instance.Groups {
		for _, v := range group.Values {
			properties[group.Name+"/"+v.Name] = v.Value
		}
	}
	return properties, nil
}

// serve is the default server of a zone.
func serve(addr string) int {
	server := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}
