package illumos

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

func TestBootNeedsInstalledZone(t *testing.T) {
	t.Parallel()
	for _, s := range zone.States() {
		if s == zone.Installed {
			continue
		}
		h := newScripted(t)
		h.setState(testZone, s)
		if err := h.manager().Boot(bounded(t), testZone); !errors.Is(err, zone.ErrNotInstalled) {
			t.Errorf("%v: got error %v", s, err)
		}
		h.wantNothingRun(s)
	}
}

func TestBootBelievesTheState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		err    string
	}{
		{"running, and says no", `state "$zone" running 7; exit 1`, ""},
		{"shutting down, and says it is booted", `state "$zone" shutting_down 7; echo "zone is already booted"`, "it is shutting_down"},
		{"down, and says it is booted", `state "$zone" down 7; echo "zone is already booted"`, "it is down"},
		{"ready only", `state "$zone" ready 7; exit 1`, "it is ready"},
		{"torn down again", `echo "zone '$zone': could not stat /sbin/init" >&2; exit 1`, "could not stat /sbin/init"},
		{"gone", `state "$zone" absent`, "it is absent"},
	} {
		h := newScripted(t)
		h.setState(testZone, zone.Installed)
		h.on("zoneadm-boot", test.script)
		err := h.manager().Boot(bounded(t), testZone)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got error %v, want %q", test.name, err, test.err)
		}
	}
}

// A repository that does not answer yet is waited for, and each service in turn.
func TestBootWaitsForServices(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.setState(testZone, zone.Installed)
	h.on("svcprop-run", `echo "$*" >>"$dir/asked"
		n=$(wc -l <"$dir/asked")
		[ $n -gt 1 ] || { echo "svcprop: Could not connect to repository" >&2 && exit 1; }
		case $n in 2) echo offline ;; *) echo online ;; esac`)
	if err := h.manager().Boot(bounded(t), testZone); err != nil {
		t.Fatal(err)
	}
	ask := "-z " + testZone + " -p restarter/state "
	milestone, service := ask+"svc:/milestone/single-user:default\n", ask+"svc:/system/illumos/propolis-server:default\n"
	if diff := cmp.Diff(milestone+milestone+milestone+service, h.read("asked")); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// A zone that came up while it was listed can be listed as running without an
// id. When it has one, that is no reboot.
func TestBootSeenWithoutID(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.setState(testZone, zone.Installed)
	h.on("zoneadm-boot", `state "$zone" running`)
	h.on("svcprop-run", `[ ! -e "$dir/asked" ] || { echo online; exit; }
		touch "$dir/asked"; state "$2" running 7; exit 1`)
	if err := h.manager().Boot(bounded(t), testZone); err != nil {
		t.Error(err)
	}
}

func TestBootFailsInMaintenance(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	h.setState(testZone, zone.Installed)
	logs := "bin/root/" + testZone + "/root/var/svc/log"
	if err := os.MkdirAll(h.path(logs), 0o700); err != nil {
		t.Fatal(err)
	}
	h.write(strings.TrimPrefix(logs, "bin/")+"/system-illumos-propolis-server:default.log", "datalink is unknown\n")
	h.on("svcprop-run", `case $5 in *propolis*) echo maintenance ;; *) echo online ;; esac`)
	h.on("svcs-run", `[ "$*" = "-xv -z `+testZone+`" ] && echo "Reason: Start method exited with 96."`)
	err := h.manager().Boot(bounded(t), testZone)
	for _, want := range []string{"maintenance", "exited with 96", "datalink is unknown"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want that it says %q", err, want)
		}
	}
}

func TestBootEndsWithItsZone(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`state "$2" down 7; exit 1`:       "the zone is down by now",
		`state "$2" running 8; exit 1`:    "the zone has rebooted",
		`state "$2" absent; echo; exit 0`: "the zone is absent by now",
	} {
		h := newScripted(t)
		h.setState(testZone, zone.Installed)
		h.on("svcprop-run", script)
		if err := h.manager().Boot(bounded(t), testZone); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want that %s", err, want)
		}
	}
}

// A boot whose caller has gone goes on too: it is neither killed nor forgotten.
func TestBootIsLeftToItself(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.setState(testZone, zone.Installed)
	h.on("zoneadm-boot", `touch "$dir/booting"; await let-go; ordinary`)
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	booted := make(chan error, 1)
	go func() { booted <- m.Boot(ctx, testZone) }()
	h.await("the boot to be under way", func() bool { return h.has("booting") })
	cancel()
	if err := <-booted; !errors.Is(err, command.ErrLeft) || !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that it was left", err)
	}
	if i, err := m.Look(bounded(t), testZone); err != nil || !strings.Contains(i.Detail, "boot") {
		t.Errorf("it is %v, because %q, error %v", i.State, i.Detail, err)
	}
	h.write("let-go", "")
	h.await("the zone to run", func() bool { return strings.Contains(h.read("zones/"+testZone), ":running:") })
}

// SMF calls a service online before it can know whether the server lives, and
// gives up later one that does not.
func TestServerFailed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, says, want string
		is               zone.State
	}{
		{"is well", "echo online", "", zone.Running},
		{"is being started again", "echo offline", "", zone.Running},
		{"is not known yet", "exit 1", "", zone.Running},
		{"has no zone", "echo maintenance", "", zone.Installed},
		{"was given up", "echo maintenance", "is in maintenance: svcs: Reason: Restarting too quickly.", zone.Running},
	} {
		h := newScripted(t)
		h.setState(testZone, test.is)
		h.on("svcprop-run", test.says)
		h.on("svcs-run", "echo Reason: Restarting too quickly.")
		why, err := h.manager().ServerFailed(bounded(t), testZone)
		if err != nil || !strings.Contains(why, test.want) || (why == "") != (test.want == "") {
			t.Errorf("a server that %s: got %q, %v, want %q", test.name, why, err, test.want)
		}
	}
}
