package illumostest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func install(t *testing.T, o Options) *Host {
	t.Helper()
	t.Parallel()
	return Install(t, t.TempDir(), o)
}

// want runs a command and checks its exit status and that what it printed, on
// either stream, contains text.
func (h *Host) want(exit int, text, name string, args ...string) Result {
	h.t.Helper()
	r := h.Run(name, args...)
	if r.Exit != exit || !strings.Contains(r.Out+r.ErrOut, text) {
		h.t.Fatalf("%s %s: exit %d, printed %q and %q; want exit %d and %q", name, strings.Join(args, " "),
			r.Exit, r.Out, r.ErrOut, exit, text)
	}
	return r
}

// ok runs a command that must succeed and returns what it printed.
func (h *Host) ok(name string, args ...string) string {
	h.t.Helper()
	return h.want(0, "", name, args...).Out
}

// configure makes a zone with these links.
func (h *Host) configure(zone string, links ...string) {
	h.t.Helper()
	script := fmt.Sprintf("create -b\nset brand=omicron1\nset zonepath=%s\nset autoboot=false\nset ip-type=exclusive\n"+
		"add device\nset match=/dev/vmm/*\nend\nadd attr\nset name=sled-agent\nset type=string\nset value=\"a, b=c\"\nend\n",
		filepath.Join(h.ZoneRoot(), zone))
	for _, link := range links {
		script += "add net\nset physical=" + link + "\nend\n"
	}
	h.ok("zonecfg", "-z", zone, "-f", h.script(script))
}

// script writes a file for zonecfg.
func (h *Host) script(text string) string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "script")
	h.write(path, text)
	return path
}

// profile is a valid profile for the zone's server.
func profile(datalink, gateway, addr, port string) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1">
<service_bundle type="profile" name="omicron">
  <service name="system/illumos/propolis-server" type="service" version="1">
    <instance name="default" enabled="true">
      <property_group name="config" type="application">
        <propval name="datalink" type="astring" value="%s"/>
        <propval name="gateway" type="astring" value="%s"/>
        <propval name="listen_addr" type="astring" value="%s"/>
        <propval name="listen_port" type="astring" value="%s"/>
      </property_group>
    </instance>
  </service>
</service_bundle>
`, datalink, gateway, addr, port)
}

// installed makes a zone of its own link and a profile that serves on a free
// port, which it returns.
func (h *Host) installed(zone, link string) (addr string) {
	h.t.Helper()
	h.ok("dladm", "create-vnic", "-t", "-l", "underlay_stub0", link)
	h.configure(zone, link)
	h.ok("zoneadm", append([]string{"-z", zone, "install"}, h.Images()...)...)
	addr = freePort(h.t)
	_, port, _ := net.SplitHostPort(addr)
	h.putProfile(zone, profile(link, "fd00::1", "127.0.0.1", port))
	return addr
}

func (h *Host) putProfile(zone, text string) {
	h.t.Helper()
	h.write(filepath.Join(h.ZoneRoot(), zone, "root/var/svc/profile/site.xml"), text)
}

// running is installed and booted.
func (h *Host) running(zone, link string) (addr string) {
	h.t.Helper()
	addr = h.installed(zone, link)
	h.ok("zoneadm", "-z", zone, "boot")
	return addr
}

func (h *Host) online(zone string) {
	h.t.Helper()
	h.Eventually(zone+" is online", func() bool { return h.service(zone).State == "online" })
}

func (h *Host) service(zone string) Service {
	z, _ := h.Zone(zone)
	return z.Services[DefaultService]
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
