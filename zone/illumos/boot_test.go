package illumos

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

func TestBootNeedsInstalledZone(t *testing.T) {
	t.Parallel()
	for _, s := range zonetest.States() {
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

func TestBootChecksState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		err    string
	}{
		{"running, exit 1", `state "$zone" running 7; exit 1`, ""},
		{"shutting down, exit 0", `state "$zone" shutting_down 7; echo "zone is already booted"`, "it is shutting_down"},
		{"down, exit 0", `state "$zone" down 7; echo "zone is already booted"`, "it is down"},
		{"ready only", `state "$zone" ready 7; exit 1`, "it is ready"},
		{"torn down again", `echo "zone '$zone': could not stat /sbin/init" >&2; exit 1`, "could not stat /sbin/init"},
		{"absent", `state "$zone" absent`, "it is absent"},
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

// Boot waits for the repository to answer, and then for each service in turn.
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

// A zone that becomes ready during a list can be listed as running without an id.
// That it has an id later is no reboot.
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
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
}

func TestBootEndsWithItsZone(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`state "$2" down 7; exit 1`:       "the zone became down",
		`state "$2" running 8; exit 1`:    "the zone has rebooted",
		`state "$2" absent; echo; exit 0`: "the zone became absent",
	} {
		h := newScripted(t)
		h.setState(testZone, zone.Installed)
		h.on("svcprop-run", script)
		if err := h.manager().Boot(bounded(t), testZone); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}

// A boot continues after its caller has given up, and is still counted.
func TestBootContinuesWithoutCaller(t *testing.T) {
	t.Parallel()
	h := newScripted(t)
	m := h.manager()
	h.setState(testZone, zone.Installed)
	h.on("zoneadm-boot", `touch "$dir/booting"; await let-go; ordinary`)
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	booted := begin(func() error { return m.Boot(ctx, testZone) })
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

// SMF reports a service online before it knows whether the server keeps running, and
// puts it into maintenance later. An unknown state is an error.
func TestServerFailed(t *testing.T) {
	t.Parallel()
	const (
		process = "; echo '               10:00:00     4711 ctrun'"
		reason  = "svcs: Reason: Restarting too quickly."
		unknown = "cannot tell"
	)
	for _, test := range []struct {
		name, svcs, want string
		is               zone.State
	}{
		{"is online", "echo online -" + process, "", zone.Running},
		{"is online without processes", "echo online -", "", zone.Running},
		{"is being started again", `[ -e "$dir/asked" ] || { touch "$dir/asked"; echo offline online; exit; }; echo online -` + process, "", zone.Running},
		{"is being started permanently", "echo offline online", "is offline and has no process: " + reason, zone.Running},
		{"has not stopped yet", "echo offline -" + process, "", zone.Running},
		{"is not known yet", "exit 1", unknown, zone.Running},
		{"is not printed by svcs", ":", unknown, zone.Running},
		{"is truncated", "echo offl", unknown, zone.Running},
		{"is printed with an error", "echo offline -; echo 'svcs: cannot read contracts' >&2", unknown, zone.Running},
		{"has no zone", "echo maintenance -", "", zone.Installed},
		{"is in an unknown zone", "echo maintenance -", unknown, zone.Unknown},
		{"is in maintenance", "echo maintenance -", "is in maintenance: " + reason, zone.Running},
		{"was disabled", "echo disabled -", "is disabled and has no process: " + reason, zone.Running},
		{"lacks what it depends on", "echo offline -", "is offline and has no process: " + reason, zone.Running},
	} {
		h := newScripted(t)
		h.setState(testZone, test.is)
		h.on("svcs-run", `case "$*" in
			-xv*) echo Reason: Restarting too quickly. ;;
			"-z `+testZone+` -p -H -o state,nstate svc:/system/illumos/propolis-server:default") `+test.svcs+` ;;
			esac`)
		why, err := h.manager().ServerFailed(bounded(t), testZone)
		if (err != nil) != (test.want == unknown) {
			t.Errorf("a server that %s: error %v", test.name, err)
		}
		if err == nil && (!strings.Contains(why, test.want) || (why == "") != (test.want == "")) {
			t.Errorf("a server that %s: got %q, want %q", test.name, why, test.want)
		}
	}
}
