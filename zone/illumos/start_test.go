package illumos

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/internal/zonelock"
)

// A removal cancels a start instead of waiting for it.
func TestRemovalBreaksOffStart(t *testing.T) {
	t.Parallel()
	for command, hang := range map[string]string{
		"zoneadm-install": `state "$zone" incomplete; touch "$dir/hangs"; exec sleep 600`,
		"zoneadm-boot":    `state "$zone" ready 7; touch "$dir/hangs"; await let-go`,
		"svcprop-run":     `touch "$dir/hangs"; exit 1`,
		"svcs-run":        `touch "$dir/hangs"; exec sleep 600`,
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			if command == "svcs-run" {
				h.on("svcprop-run", "echo maintenance")
			}
			h.on(command, hang)
			started := begin(func() error { return createAndBoot(t, m) })
			h.await("the start to hang", func() bool { return h.has("hangs") })
			if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
				t.Fatal(err)
			}
			if err := <-started; !errors.Is(err, zonelock.ErrRemoved) {
				t.Errorf("the start ended with %v", err)
			}
			h.write("let-go", "")
			h.wantNothing()
		})
	}
}

// Every removal step cancels a Create, not only a kill.
func TestUninstallBreaksOffCreate(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.on("zoneadm-install", `state "$zone" incomplete; touch "$dir/hangs"; exec sleep 600`)
	created := begin(func() error { return create(t, m) })
	h.await("the install to hang", func() bool { return h.has("hangs") })
	h.step(m, zone.RungUninstall)
	if err := <-created; !errors.Is(err, zonelock.ErrRemoved) {
		t.Errorf("Create ended with %v", err)
	}
}

// A call that waits for the zone's lock ends with its context. Other zones do not
// wait.
func TestLockPerZone(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.setState(testZone, zone.Installed)
	h.on("zoneadm-uninstall", `touch "$dir/hangs"; [ "$zone" != `+testZone+` ] || await let-go; state "$zone" configured`)
	done := begin(func() error { return m.Remove(bounded(t), zone.RungUninstall, testZone) })
	h.await("the uninstall to hang", func() bool { return h.has("hangs") })
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.Remove(short, zone.RungDelete, testZone); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second call ended with %v", err)
	}
	if err := m.Remove(bounded(t), zone.RungKill, testZone); err != nil {
		t.Errorf("kill: %v", err)
	}
	other := testPrefix + "other"
	h.setState(other, zone.Installed)
	if err := m.Remove(bounded(t), zone.RungUninstall, other); err != nil {
		t.Errorf("another zone: %v", err)
	}
	h.write("let-go", "")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Brands do not install over the files of an earlier zone.
func TestCreateOverFiles(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if err := os.MkdirAll(h.path("bin/root/"+testZone+"/root/etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(bounded(t), testSpec()); !errors.Is(err, zone.ErrExists) {
		t.Errorf("got error %v, want ErrExists", err)
	}
	if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(bounded(t), testSpec()); err != nil {
		t.Error(err)
	}
}

// Names that exist, that are in a configuration, or that another program takes
// concurrently are skipped.
func TestLinkNames(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.write("links/oxControlInstance0", "underlay_stub0\n")
	claimed := testPrefix + "claims-without-links"
	h.setState(claimed, zone.Configured)
	h.write("configs/"+claimed+".xml", "set zonepath=/zones/z\nadd net\nset physical=oxControlInstance1\nend\nadd net\nset physical=oxGuest0\nend\n")
	h.on("dladm-create-vnic", `for link; do :; done
		case $link in
		oxControlInstance2 | oxGuest2) echo "dladm: vnic creation over $4 failed: object already exists" >&2 && exit 1 ;;
		esac
		touch "$dir/links/$link"`)
	made, err := m.Create(bounded(t), testSpec())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"nic-b": "oxGuest1", "nic-a": "oxGuest3"}
	if diff := cmp.Diff(want, made.Links); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	if !strings.Contains(h.read("configs/"+testZone+".xml"), "physical=oxControlInstance3\n") {
		t.Errorf("configuration:\n%s", h.read("configs/"+testZone+".xml"))
	}
	h.write("links/oxControlInstance2", "another program's")
	if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
		t.Fatal(err)
	}
	for link, there := range map[string]bool{"oxControlInstance0": true, "oxControlInstance2": true,
		"oxControlInstance3": false, "oxGuest1": false, "oxGuest3": false} {
		if h.has("links/"+link) != there {
			t.Errorf("link %s exists: %v", link, !there)
		}
	}
}

// A configuration can name a link that another program has created concurrently.
// That link is kept.
func TestForeignLinkIsKept(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.on("dladm-create-vnic", `for link; do :; done
		echo net0 >"$dir/links/$link"
		echo "dladm: vnic creation over $4 failed: object already exists" >&2 && exit 1`)
	h.on("zonecfg-delete", "exit 1")
	if err := create(t, m); err == nil {
		t.Fatal("Create succeeded")
	}
	h.on("zonecfg-delete", "")
	if err := zone.EnsureGone(bounded(t), m, testZone, quick); err != nil {
		t.Fatal(err)
	}
	if !h.has("links/oxControlInstance0") {
		t.Error("another program's link was removed")
	}
}

// A list without the global zone, or that ends within a line, proves nothing.
func TestListLacksZones(t *testing.T) {
	t.Parallel()
	for _, script := range []string{":", "echo", `echo "-:other:installed:/zones/other::omicron1:excl"`,
		"printf '0:global:running:/::ipkg:shared'", `printf '0:global:running:/::ipkg:shared\n-:other:inst'`} {
		h := newScripted(t)
		h.on("zoneadm-list", script)
		if i, err := h.manager().Look(bounded(t), testZone); err == nil {
			t.Errorf("%s: the zone is reported as %v", script, i.State)
		}
	}
}

// Zones that are created concurrently get different link names.
func TestLinkNamesOfManyZones(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	const zones = 12
	links := make(chan []string, zones)
	for i := range zones {
		go func() {
			spec := testSpec()
			spec.Name = testPrefix + string(rune('a'+i))
			made, err := m.Create(bounded(t), spec)
			if err != nil {
				t.Error(err)
			}
			links <- []string{made.Links["nic-a"], made.Links["nic-b"]}
		}()
	}
	seen := make(map[string]bool)
	for range zones {
		for _, link := range <-links {
			if link == "" || seen[link] {
				t.Errorf("link %q was chosen twice", link)
			}
			seen[link] = true
		}
	}
}

func TestUnsafeDevices(t *testing.T) {
	t.Parallel()
	for _, device := range []string{"/dev/zvol/*", "/dev/a b", "/dev/a\nset brand=x", "/etc/passwd", "/dev/../etc", "dev/a",
		"/dev/[ab]", "/dev/a;b", ""} {
		h := newScripted(t)
		spec := testSpec()
		spec.Devices = []string{device}
		if _, err := h.manager().Create(bounded(t), spec); err == nil {
			t.Errorf("device %q was accepted", device)
		}
		h.wantNothingRun(device)
	}
}

// The gateway is a working address of the host in the server's prefix. If there is
// none, the error lists the host's addresses.
func TestGateway(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	gateway := func(m *Manager, server string) (netip.Addr, error) {
		links, err := m.vnics.links(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		return m.gateway(bounded(t), links, netip.MustParseAddr(server))
	}
	m := h.manager()
	h.write("links/underlay1", "net0\n")
	h.on("ipadm-show-addr", `echo 'lo0/v6:static:ok:\:\:1/128'
		echo 'underlay1/sled6:static:ok:fd00\:1\:\:9/64'
		echo 'oxControlInstance0/omicron6:static:ok:fd00\:1\:\:8/64'
		echo 'underlay0/ll:addrconf:ok:fe80\:\:1%underlay0/10'
		echo 'underlay0/v4:static:ok:10.0.0.1/24'
		echo 'underlay0/bad6:static:duplicate:fd00\:1\:\:7/64'
		echo 'underlay0/off6:static:down:fd00\:3\:\:1/64'
		echo 'underlay0/far6:static:ok:fd00\:2\:\:1/64'
		echo 'underlay0/sled6:static:ok:fd00\:1\:\:1/64'`)
	h.write("links/oxControlInstance0", "underlay_stub0\n")
	for server, want := range map[string]string{"fd00:1::c": "fd00:1::1", "fd00:2::c": "fd00:2::1", "10.0.0.9": "10.0.0.1"} {
		if got, err := gateway(m, server); err != nil || got.String() != want {
			t.Errorf("for %s: got %v, error %v, want %s", server, got, err, want)
		}
	}
	for server, want := range map[string]string{"fd00:3::c": "fd00:3::1/64 on underlay0 (down)", "fd00:4::c": "fd00:2::1/64 on underlay0 (ok)",
		"10.0.1.9": "prefix contains 10.0.1.9"} {
		if got, err := gateway(m, server); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("for %s: got %v, error %v, want %q in it", server, got, err, want)
		}
	}
	h.on("ipadm-show-addr", `:`)
	if got, err := gateway(m, "fd00:1::c"); err == nil {
		t.Errorf("got %v from a host without an address", got)
	}
	cfg := h.config()
	cfg.Gateway = netip.MustParseAddr("fd00::1")
	if got, err := gateway(h.managerOf(cfg), "fd00:1::c"); err != nil || got != cfg.Gateway {
		t.Errorf("got %v, error %v, want the configured one", got, err)
	}
}

func TestProfileIsEscaped(t *testing.T) {
	t.Parallel()
	m := newScripted(t).manager()
	got := string(m.profile(netip.MustParseAddrPort("[::1]:80"), `"<&>'`, netip.MustParseAddr("fe80::1%<x>")))
	if strings.Contains(got, "<&>") || !strings.Contains(got, `value="&#34;&lt;&amp;&gt;&#39;"`) || strings.Contains(got, "%<x>") {
		t.Errorf("profile:\n%s", got)
	}
}

// The zone's root is not trusted.
func TestTail(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	if _, err := m.Tail(bounded(t), testZone, 10); err == nil {
		t.Error("a zone without files has a log")
	}
	dir := "root/" + testZone + "/root/var/svc/log/"
	if err := os.MkdirAll(h.path("bin/"+dir), 0o700); err != nil {
		t.Fatal(err)
	}
	log := dir + "system-illumos-propolis-server:default.log"
	h.write(log, "0123456789abcdef")
	for max, want := range map[int]string{4: "cdef", 16: "0123456789abcdef", 1 << 40: "0123456789abcdef", 0: "", -1: ""} {
		if got, err := m.Tail(bounded(t), testZone, max); err != nil || string(got) != want {
			t.Errorf("at most %d: got %q, error %v", max, got, err)
		}
	}
	_ = os.Remove(h.path("bin/" + log))
	h.write("secret", "not for guests")
	if err := os.Symlink(h.path("bin/secret"), h.path("bin/"+log)); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Tail(bounded(t), testZone, 100); err == nil {
		t.Errorf("a link out of the zone was followed: %q", got)
	}
}

// Lists that never return do not block the agent: others are tried.
func TestHangingLists(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	m.listBudget, m.commands.ReplaceAfter = 20*time.Millisecond, 10*time.Millisecond
	m.commands.Kill = func(int) error { return nil }
	h.setState(testZone, zone.Running)
	if infos, err := m.List(bounded(t)); err != nil || len(infos) != 1 {
		t.Errorf("listed %v, error %v", infos, err)
	}
	h.on("zoneadm-list", `echo >>"$dir/lists"; [ "$(wc -l <"$dir/lists")" -gt 4 ] || await let-go; ordinary`)
	failed := false
	h.await("a look that succeeds", func() bool {
		i, err := m.Look(bounded(t), testZone)
		if infos, err := m.List(bounded(t)); err != nil && !errors.Is(err, zone.ErrPartial) || len(infos) != 1 {
			t.Errorf("listed %v, error %v", infos, err)
		}
		failed = failed || err != nil
		return err == nil && i.State == zone.Running && m.LeftBehind() == 4
	})
	if !failed {
		t.Error("no list has hung")
	}
	h.write("let-go", "")
}

// A list that fails for a short time does not end a start.
func TestStartRetriesLists(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{"fails": "exit 1", "empty": ":", "omits": listsNothing + ";" + saysZone,
		"cut": `printf '0:global:running:/::ipkg:shared\n-:other:inst'`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			// Every second list fails.
			h.on("zoneadm-list", `echo >>"$dir/lists"; [ $(($(wc -l <"$dir/lists") % 2)) = 0 ] && ordinary; `+bad)
			if err := createAndBoot(t, m); err != nil {
				t.Fatal(err)
			}
			h.on("zoneadm-list", "")
			h.wantGone(m)
		})
	}
}
