package sim_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/sim"
)

func served7(modes ...string) sim.Options {
	o := options(modes...)
	o.Newest = dropshot.Version{7}
	return o
}

// Each version has its own form of a request for a state.
func TestStateRequestsByVersion(t *testing.T) {
	t.Parallel()
	c := overSocket(t, served7())
	c.Want(c.Ensure(), "Created")
	for _, tt := range []struct {
		version, body string
		status        int
	}{
		{"6.0.0", `"Run"`, 204}, {"5.0.0", `"Run"`, 204}, {"7.0.0", `{"state":"Run"}`, 204},
		{"7.0.0", `{"state":"Run","acpi_timeout_secs":null}`, 204}, {"7.0.0", `{"state":"Run","acpi_timeout_secs":18446744073709551615}`, 204},
		{"7.0.0", `"Run"`, 400}, {"6.0.0", `{"state":"Run"}`, 400}, {"7.0.0", `{"state":"run"}`, 400}, {"7.0.0", `{}`, 400},
		{"7.0.0", `{"state":"Run","acpi_timeout_secs":-1}`, 400}, {"7.0.0", `{"state":"Run","acpi_timeout_secs":"1"}`, 400},
		{"7.0.0", `{"state":"Run","acpi_timeout_secs":1.5}`, 400}, {"8.0.0", `{"state":"Run"}`, 400},
	} {
		r := c.Request("PUT", "/instance/state", tt.body)
		r.Header.Set("api-version", tt.version)
		if got, err := c.Try(r); err != nil || got.Status != tt.status {
			t.Errorf("%s %s: %d %s, %v; want %d", tt.version, tt.body, got.Status, got.Body, err, tt.status)
		}
	}
}

// TestSoftRequests follows stops and reboots of a running VM, and what interrupts them. A
// line is the time since the first request and a state.
func TestSoftRequests(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		modes string
		// asks are requests such as "Stop 30", each with what is waited before it.
		asks string
		want string
	}{
		"the guest obeys at once":             {"", "0s Stop 30", "0s Stopping, 3s Stopped, 6s Destroyed"},
		"the guest obeys":                     {"obey-after=10s", "0s Stop 30", "10s Stopping, 13s Stopped, 16s Destroyed"},
		"the guest obeys too late":            {"obey-after=1m", "0s Stop 30", "30s Stopping, 33s Stopped, 36s Destroyed"},
		"the guest ignores it":                {"ignore-button", "0s Stop 30", "30s Stopping, 33s Stopped, 36s Destroyed"},
		"0 seconds are a hard stop":           {"ignore-button", "0s Stop 0", "0s Stopping, 3s Stopped, 6s Destroyed"},
		"a hard stop interrupts":              {"ignore-button", "0s Stop 30, 5s Stop null", "5s Stopping, 8s Stopped, 11s Destroyed"},
		"also if nothing else ends it":        {"ignore-button,hang-soft", "0s Stop 30, 5m Stop null", "5m0s Stopping, 5m3s Stopped, 5m6s Destroyed"},
		"a shorter one shortens":              {"ignore-button", "0s Stop 30, 5s Stop 10", "15s Stopping, 18s Stopped, 21s Destroyed"},
		"a longer one changes nothing":        {"ignore-button", "0s Stop 30, 5s Stop 60", "30s Stopping, 33s Stopped, 36s Destroyed"},
		"a soft one after a hard one":         {"", "0s Stop null, 1s Stop 60", "0s Stopping, 3s Stopped, 6s Destroyed"},
		"a soft reboot":                       {"obey-after=10s", "0s Reboot 30", "10s Rebooting, 12s Running"},
		"a soft reboot of a guest that won't": {"ignore-button", "0s Reboot 30", "30s Rebooting, 32s Running"},
		"a hard reboot interrupts":            {"ignore-button", "0s Reboot 30, 5s Reboot null", "5s Rebooting, 7s Running"},
		"a hard reboot interrupts a stop":     {"ignore-button", "0s Stop 30, 5s Reboot null", "5s Rebooting, 7s Running"},
		"a soft stop supersedes a reboot":     {"ignore-button", "0s Reboot 30, 5s Stop 10", "15s Stopping, 18s Stopped, 21s Destroyed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := inProcess(t, served7(strings.Split(tt.modes, ",")...))
				c.Running()
				begun, gen := time.Now(), c.Monitor(0).Gen
				go func() {
					for ask := range strings.SplitSeq(tt.asks, ", ") {
						f := strings.Fields(ask)
						wait, _ := time.ParseDuration(f[0])
						time.Sleep(wait)
						c.Want(c.Put7(f[1], f[2]), "No Content")
					}
				}()
				var seen []string
				for range strings.SplitSeq(tt.want, ", ") {
					v := c.Monitor(gen + 1)
					gen = v.Gen
					seen = append(seen, time.Since(begun).String()+" "+string(v.State))
				}
				if d := cmp.Diff(tt.want, strings.Join(seen, ", ")); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// softly checks that a soft stop ends a VM that has a fault.
func softly(t *testing.T, mode, secs string) {
	o := fast(mode)
	o.Newest = dropshot.Version{7}
	c := overSocket(t, o)
	c.Running()
	c.Want(c.Put7("Stop", secs), "No Content")
	c.Await(server.Destroyed)
}

func testHangSoft(t *testing.T) {
	o := fast("hang-soft,ignore-button")
	o.Newest = dropshot.Version{7}
	c := overSocket(t, o)
	c.Running()
	c.Want(c.Put7("Stop", "1"), "No Content")
	time.Sleep(time.Second + moment) // sleep: nothing may happen meanwhile
	if got := c.sim.Status(); got.Soft != "stop" || got.VM.State != server.Running {
		t.Errorf("%q in %s", got.Soft, got.VM.State)
	}
	c.Want(c.Put7("Stop", "null"), "No Content")
	c.Await(server.Destroyed)
}

// A soft request is shown while it is pending, and ends when the guest does something else.
func TestSoftRequestIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, served7("ignore-button"))
		c.Running()
		for i, want := range []string{"reboot", "stop"} {
			c.Want(c.Put7(map[string]string{"reboot": "Reboot", "stop": "Stop"}[want], strconv.Itoa(30)), "No Content")
			if got := c.sim.Status(); got.Soft != want || got.VM.State != server.Running {
				t.Errorf("%d: %q in %s", i, got.Soft, got.VM.State)
			}
		}
		c.Want(c.Put7("Reboot", "30"), "Forbidden instance state change not allowed: Instance is preparing to stop")
		if err := c.sim.Do("guest-reboot"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := c.sim.Status(); got.Soft != "" || got.VM.State != server.Running {
			t.Errorf("after a reboot of the guest's own: %q in %s", got.Soft, got.VM.State)
		}
	})
}
