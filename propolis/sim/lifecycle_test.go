package sim_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
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
			r := c.MonitorReply(gen)
			if r.Status != 200 {
				seen = append(seen, r.Code(c.T))
				break
			}
			v := servertest.Decode[server.View](c.T, r.Body)
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
		"stop": {play: func(_ *testing.T, c *client) { c.Put("Run"); soon(); c.Put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Stopping", "5 Stopped", "6 Destroyed"}},
		"stop before start": {play: func(_ *testing.T, c *client) { c.Put("Stop") },
			want: []string{"1 Creating", "2 Stopping", "3 Stopped", "4 Destroyed"}},
		"stop while starting": {play: func(_ *testing.T, c *client) { c.Put("Run"); synctest.Wait(); c.Put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Stopped", "4 Destroyed"}},
		"reboot": {play: func(_ *testing.T, c *client) { c.Put("Run"); soon(); c.Put("Reboot"); soon(); c.Put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "5 Running", "6 Stopping", "7 Stopped",
				"8 Destroyed"}},
		"two reboots are one, then stop": {
			play: func(_ *testing.T, c *client) { c.Put("Run"); soon(); c.Put("Reboot"); c.Put("Reboot"); c.Put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "6 Stopping", "7 Stopped",
				"8 Destroyed"}},
		"one reboot after another": {
			play: func(_ *testing.T, c *client) {
				c.Put("Run")
				soon()
				c.Put("Reboot")
				soon()
				c.Put("Reboot")
				soon()
				c.Put("Stop")
			},
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "5 Running", "6 Rebooting", "7 Running",
				"8 Stopping", "9 Stopped", "10 Destroyed"}},
		"guest powers off": {play: func(t *testing.T, c *client) { c.Put("Run"); soon(); do(t, c, "guest-poweroff") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Stopping", "5 Stopped", "6 Destroyed"}},
		"guest reboots": {play: func(t *testing.T, c *client) { c.Put("Run"); soon(); do(t, c, "guest-reboot"); soon(); c.Put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Rebooting", "5 Running", "6 Stopping", "7 Stopped",
				"8 Destroyed"}},
		"start fails": {modes: []string{"fail-start"}, play: func(_ *testing.T, c *client) { c.Put("Run") },
			want: []string{"1 Creating", "2 Starting", "3 Failed"}},
		"VM fails": {play: func(t *testing.T, c *client) { c.Put("Run"); soon(); do(t, c, "fail") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Failed"}},
		"lost": {play: func(t *testing.T, c *client) { c.Put("Run"); soon(); do(t, c, "lose-vm") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "Gone NoInstance"}},
		"migrated out": {
			play: func(t *testing.T, c *client) { c.Put("Run"); soon(); do(t, c, "migrate-out="+servertest.MigrationID) },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Migrating out=Sync", "5 Migrating out=Sync",
				"6 Migrating out=RamPush", "7 Migrating out=Pause", "8 Migrating out=RamPushDirty", "9 Migrating out=Pause",
				"10 Migrating out=Device", "11 Migrating out=RamPull", "12 Migrating out=Finish", "13 Stopping out=Finish",
				"14 Destroyed out=Finish"}},
		"migration out fails": {modes: []string{"fail-migration"},
			play: func(t *testing.T, c *client) {
				c.Put("Run")
				soon()
				do(t, c, "migrate-out="+servertest.MigrationID)
				soon()
				c.Put("Reboot")
				soon()
				c.Put("Stop")
			},
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Migrating out=Sync", "5 Migrating out=Sync",
				"6 Migrating out=RamPush", "8 Running out=Error", "9 Rebooting out=Error",
				"10 Running out=Error", "11 Stopping out=Error", "12 Stopped out=Error", "13 Destroyed out=Error"}},
		"stop of a source whose migration fails": {modes: []string{"fail-migration=Sync"},
			play: func(t *testing.T, c *client) { c.Put("Run"); soon(); do(t, c, "migrate-out"); c.Put("Stop") },
			want: []string{"1 Creating", "2 Starting", "3 Running", "4 Migrating out=Sync", "5 Migrating out=Sync",
				"8 Stopping out=Error", "9 Stopped out=Error",
				"10 Destroyed out=Error"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := inProcess(t, options(tc.modes...))
				c.Want(c.Ensure(), "Created")
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
		r := c.Call("PUT", "/instance", servertest.MigrationTarget)
		c.Want(r, "Created")
		if want := `{"migrate":{"migration_id":"` + servertest.MigrationID + `"}}`; r.Body != want {
			t.Errorf("PUT /instance: %s, want %s", r.Body, want)
		}
		seen := watch(c)
		c.Want(c.Put("Run"), "No Content")
		c.Want(c.Put("Reboot"), "Forbidden instance state change not allowed: Instance is currently starting")
		time.Sleep(time.Minute) // sleep: in a bubble, advances its time
		c.Want(c.Put("Run"), "No Content")
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
		c.Want(c.Call("PUT", "/instance", servertest.MigrationTarget), "Internal Server Error Internal")
		if got := describe(c.Monitor(0)); got != "3 Failed in=Error" {
			t.Errorf("after a failed sync: %s", got)
		}

		c = inProcess(t, options("fail-migration"))
		c.Want(c.Call("PUT", "/instance", servertest.MigrationTarget), "Created")
		time.Sleep(time.Second + time.Millisecond)
		c.Want(c.Put("Stop"), "No Content")
		for _, want := range []string{"5 Failed in=Error", "6 Failed in=Error"} {
			gen, err := strconv.ParseUint(want[:1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(c.Monitor(gen)); got != want {
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
		snapshot := "/instance/disk/" + servertest.DiskID + "/snapshot/" + uuid.NewString()
		c.Want(c.Put("Stop"), "Failed Dependency NoInstance")
		c.Running()
		c.Want(c.Call("POST", snapshot, ""), "OK")
		c.Want(c.Put("Stop"), "No Content")
		c.Want(c.Put("Stop"), "No Content")
		c.Want(c.Put("Run"), "Forbidden instance state change not allowed: Instance is preparing to stop")
		for _, state := range []server.State{server.Stopped, server.Destroyed} {
			c.Await(state)
			for _, request := range []string{"Run", "Stop", "Reboot"} {
				c.Want(c.Put(request), "Failed Dependency NoInstance")
			}
			c.Want(c.Call("POST", snapshot, ""), "Failed Dependency NoInstance")
			c.Want(c.Call("GET", "/instance", ""), "OK")
			if state == server.Stopped {
				c.Want(c.Ensure(), "Conflict AlreadyInitialized")
			}
		}
		c.Want(c.Ensure(), "Created")
		if got := describe(c.Monitor(0)); got != "1 Creating" {
			t.Errorf("new VM: %s", got)
		}
	})
}

// Calls while PUT /instance is pending.
func TestInitialising(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		go c.Ensure()
		synctest.Wait()
		c.Want(c.Put("Run"), "Failed Dependency NoInstance")
		c.Want(c.Ensure(), "Conflict AlreadyInitialized")
		c.Want(c.Call("GET", "/instance", ""), "OK")
		if got := describe(c.Monitor(0)); got != "1 Creating" {
			t.Errorf("while the VM is made: %s", got)
		}
		time.Sleep(2 * time.Second)
		c.Want(c.Put("Run"), "No Content")
	})
}

func do(t *testing.T, c *client, action string) {
	t.Helper()
	if err := c.sim.Do(action); err != nil {
		t.Error(err)
	}
}
