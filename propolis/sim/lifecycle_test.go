package sim_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/sim"
)

// options give every state a different duration.
func options(modes ...string) sim.Options {
	f, err := sim.ParseFaults(modes...)
	if err != nil {
		panic(err)
	}
	return sim.Options{Faults: f, Times: sim.Times{Create: time.Second, Boot: 2 * time.Second,
		Stop: 3 * time.Second, Phase: time.Second}}
}

// fast is for tests on the real clock.
func fast(modes ...string) sim.Options {
	o := options(modes...)
	o.Times = sim.Times{Boot: time.Millisecond, Stop: time.Millisecond, Phase: time.Millisecond}
	return o
}

// watch records what a monitor shows until the VM has ended.
func watch(c *client) <-chan []string {
	done := make(chan []string, 1)
	go func() {
		var seen []string
		for gen := uint64(0); ; {
			r := c.monitorReply(gen)
			if r.status != 200 {
				seen = append(seen, r.code(c.t))
				break
			}
			v := decode[server.View](c.t, r.body)
			seen = append(seen, describe(v))
			if v.State == server.Destroyed || v.State == server.Failed && v.Migration.In == nil {
				break
			}
			gen = v.Gen + 1
		}
		done <- seen
	}()
	synctest.Wait()
	return done
}

// describe returns a text such as "12 Migrating out=Finish".
func describe(v server.View) string {
	text := strconv.FormatUint(v.Gen, 10) + " " + string(v.State)
	if v.Migration.In != nil {
		text += " in=" + string(v.Migration.In.State)
	}
	if v.Migration.Out != nil {
		text += " out=" + string(v.Migration.Out.State)
	}
	return text
}

// Each kind of lifecycle, as seen by a monitor that sees every lasting state.
func TestSequences(t *testing.T) {
	t.Parallel()
	soon := func() { time.Sleep(time.Minute) } // sleep: in a bubble, advances its time
	for name, tc := range map[string]struct {
		modes []string
		play  func(t *testing.T, c *client)
		want  []string
	}{
		"stop": {play: func(_ *testing.T, c *client) { c.put("Run"); soon(); c.put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Stopping", "5 Stopped", "6 Destroyed"}},
		"stop before start": {play: func(_ *testing.T, c *client) { c.put("Stop") },
			want: []string{"1 Creating", "2 Stopping", "3 Stopped", "4 Destroyed"}},
		"stop while starting": {play: func(_ *testing.T, c *client) { c.put("Run"); synctest.Wait(); c.put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Stopped", "4 Destroyed"}},
		"reboot": {play: func(_ *testing.T, c *client) { c.put("Run"); soon(); c.put("Reboot"); soon(); c.put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "5 Running", "6 Stopping", "7 Stopped",
				"8 Destroyed"}},
		"two reboots are one, then stop": {
			play: func(_ *testing.T, c *client) { c.put("Run"); soon(); c.put("Reboot"); c.put("Reboot"); c.put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "6 Stopping", "7 Stopped",
				"8 Destroyed"}},
		"one reboot after another": {
			play: func(_ *testing.T, c *client) {
				c.put("Run")
				soon()
				c.put("Reboot")
				soon()
				c.put("Reboot")
				soon()
				c.put("Stop")
			},
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "5 Running", "6 Rebooting", "7 Running",
				"8 Stopping", "9 Stopped", "10 Destroyed"}},
		"guest powers off": {play: func(t *testing.T, c *client) { c.put("Run"); soon(); do(t, c, "guest-poweroff") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Stopping", "5 Stopped", "6 Destroyed"}},
		"guest reboots": {play: func(t *testing.T, c *client) { c.put("Run"); soon(); do(t, c, "guest-reboot"); soon(); c.put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "5 Running", "6 Stopping", "7 Stopped",
				"8 Destroyed"}},
		"start fails": {modes: []string{"fail-start"}, play: func(_ *testing.T, c *client) { c.put("Run") },
			want: []string{"1 Creating", "2 Starting", "3 Failed"}},
		"VM fails": {play: func(t *testing.T, c *client) { c.put("Run"); soon(); do(t, c, "fail") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Failed"}},
		"lost": {play: func(t *testing.T, c *client) { c.put("Run"); soon(); do(t, c, "lose-vm") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "Gone NoInstance"}},
		"migrated out": {
			play: func(t *testing.T, c *client) { c.put("Run"); soon(); do(t, c, "migrate-out="+migrationID) },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Migrating out=Sync", "5 Migrating out=Sync",
				"6 Migrating out=RamPush", "7 Migrating out=Pause", "8 Migrating out=RamPushDirty", "9 Migrating out=Pause",
				"10 Migrating out=Device", "11 Migrating out=RamPull", "12 Migrating out=Finish", "13 Stopping out=Finish",
				"14 Destroyed out=Finish"}},
		"migration out fails": {modes: []string{"fail-migration"},
			play: func(t *testing.T, c *client) {
				c.put("Run")
				soon()
				do(t, c, "migrate-out="+migrationID)
				soon()
				c.put("Reboot")
				soon()
				c.put("Stop")
			},
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Migrating out=Sync", "5 Migrating out=Sync",
				"6 Migrating out=RamPush", "8 Running out=Error", "9 Rebooting out=Error",
				"10 Running out=Error", "11 Stopping out=Error", "12 Stopped out=Error", "13 Destroyed out=Error"}},
		"stop of a source whose migration fails": {modes: []string{"fail-migration=Sync"},
			play: func(t *testing.T, c *client) { c.put("Run"); soon(); do(t, c, "migrate-out"); c.put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Migrating out=Sync", "5 Migrating out=Sync",
				"8 Stopping out=Error", "9 Stopped out=Error",
				"10 Destroyed out=Error"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := inProcess(t, options(tc.modes...))
				c.want(c.ensure(), "Created")
				seen := watch(c)
				tc.play(t, c)
				if diff := cmp.Diff(tc.want, <-seen); diff != "" {
					t.Errorf("monitor (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A VM that arrives by migration and leaves again.
func TestMigrationTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		r := c.call("PUT", "/instance", migrationTarget)
		c.want(r, "Created")
		if want := `{"migrate":{"migration_id":"` + migrationID + `"}}`; r.body != want {
			t.Errorf("PUT /instance: %s, want %s", r.body, want)
		}
		seen := watch(c)
		c.want(c.put("Run"), "No Content")
		c.want(c.put("Reboot"), "Forbidden instance state change not allowed: Instance is currently starting")
		time.Sleep(time.Minute) // sleep: in a bubble, advances its time
		c.want(c.put("Run"), "No Content")
		do(t, c, "migrate-out="+uuid.NewString())
		want := []string{"2 Migrating in=Sync", "3 Migrating in=RamPush", "4 Migrating in=Pause", "5 Migrating in=RamPushDirty",
			"6 Migrating in=Pause", "7 Migrating in=Device", "8 Migrating in=RamPull", "9 Migrating in=Server",
			"10 Migrating in=Finish", "11 Running in=Finish"}
		got := <-seen
		if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
			t.Errorf("monitor (-want +got):\n%s", diff)
		}
		if last := got[len(got)-1]; last != "22 Destroyed in=Finish out=Finish" {
			t.Errorf("last view %q", last)
		}
	})
}

// A migration fails before and after PUT /instance was answered.
func TestMigrationTargetFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options("fail-migration=Sync"))
		c.want(c.call("PUT", "/instance", migrationTarget), "Internal Server Error Internal")
		if got := describe(c.monitor(0)); got != "3 Failed in=Error" {
			t.Errorf("after a failed sync: %s", got)
		}

		c = inProcess(t, options("fail-migration"))
		c.want(c.call("PUT", "/instance", migrationTarget), "Created")
		time.Sleep(time.Second + time.Millisecond)
		c.want(c.put("Stop"), "No Content")
		for _, want := range []string{"5 Failed in=Error", "6 Failed in=Error"} {
			gen, err := strconv.ParseUint(want[:1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(c.monitor(gen)); got != want {
				t.Errorf("monitor: %s, want %s", got, want)
			}
		}
	})
}

// After the VM's end the server shows the last state, refuses requests, and accepts a new
// VM, which starts with generation 1.
func TestRundown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		snapshot := "/instance/disk/" + diskID + "/snapshot/" + uuid.NewString()
		c.want(c.put("Stop"), "Failed Dependency NoInstance")
		c.running()
		c.want(c.call("POST", snapshot, ""), "OK")
		c.want(c.put("Stop"), "No Content")
		c.want(c.put("Stop"), "No Content")
		c.want(c.put("Run"), "Forbidden instance state change not allowed: Instance is preparing to stop")
		for _, state := range []server.State{server.Stopped, server.Destroyed} {
			c.await(state)
			for _, request := range []string{"Run", "Stop", "Reboot"} {
				c.want(c.put(request), "Failed Dependency NoInstance")
			}
			c.want(c.call("POST", snapshot, ""), "Failed Dependency NoInstance")
			c.want(c.call("GET", "/instance", ""), "OK")
			if state == server.Stopped {
				c.want(c.ensure(), "Conflict AlreadyInitialized")
			}
		}
		c.want(c.ensure(), "Created")
		if got := describe(c.monitor(0)); got != "1 Creating" {
			t.Errorf("new VM: %s", got)
		}
	})
}

// Calls while PUT /instance is pending.
func TestInitialising(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		go c.ensure()
		synctest.Wait()
		c.want(c.put("Run"), "Failed Dependency NoInstance")
		c.want(c.ensure(), "Conflict AlreadyInitialized")
		c.want(c.call("GET", "/instance", ""), "OK")
		if got := describe(c.monitor(0)); got != "1 Creating" {
			t.Errorf("while the VM is made: %s", got)
		}
		time.Sleep(2 * time.Second)
		c.want(c.put("Run"), "No Content")
	})
}

func do(t *testing.T, c *client, action string) {
	t.Helper()
	if err := c.sim.Do(action); err != nil {
		t.Error(err)
	}
}
