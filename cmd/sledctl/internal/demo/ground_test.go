package demo

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

var (
	alice = uuid.MustParse("9f6e0f4a-6d1c-4c33-8e5b-0a3c0d5a7f01")
	bob   = uuid.MustParse("9f6e0f4a-6d1c-4c33-8e5b-0a3c0d5a7f02")
)

// zoneOf is the name of a VMM's zone.
func zoneOf(id uuid.UUID) string { return "oxz_propolis-server_" + id.String() }

// zonesDir is a directory with that of Bob's zone and, if wanted, of Alice's.
func zonesDir(t *testing.T, withAlice bool) string {
	t.Helper()
	dir := t.TempDir()
	ids := []uuid.UUID{bob}
	if withAlice {
		ids = append(ids, alice)
	}
	for _, id := range ids {
		if err := os.Mkdir(filepath.Join(dir, zoneOf(id)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func wantThings(t *testing.T, got []thing, err error, want ...thing) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	text := func(things []thing) (out []string) {
		for _, t := range things {
			out = append(out, t.String())
		}
		return out
	}
	if diff := cmp.Diff(text(want), text(got)); diff != "" {
		t.Errorf("things (-want +got):\n%s", diff)
	}
}

func TestProcessGround(t *testing.T) {
	t.Parallel()
	g := processGround{zonesDir(t, true)}
	got, err := g.look(t.Context(), alice, nil)
	wantThings(t, got, err, thing{kindDirectory, zoneOf(alice)})
	if pid, err := g.server(t.Context(), vmm.Status{ID: alice, PID: 4711}); pid != 4711 || err != nil {
		t.Errorf("server %d, %v", pid, err)
	}
	got, err = processGround{filepath.Join(t.TempDir(), "none")}.look(t.Context(), alice, nil)
	wantThings(t, got, err)
}

// hostOf is an illumos host whose commands say this, whatever they are asked;
// those that are not mentioned fail.
func hostOf(t *testing.T, root string, says map[string]string) *standinGround {
	t.Helper()
	g := &standinGround{program: program("no-standin"), dir: t.TempDir(), bin: t.TempDir(), root: root}
	for _, name := range []string{"zoneadm", "zonecfg", "dladm", "zfs", "pgrep"} {
		command := filepath.Join(g.bin, name)
		if err := os.Symlink(program("says-file"), command); err != nil {
			t.Fatal(err)
		}
		if text, ok := says[name]; ok {
			if err := os.WriteFile(command+".says", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return g
}

const (
	global  = "0:global:running:/::ipkg:shared\n"
	bobsOwn = "rpool\nrpool/zones\nrpool/zones/oxz_propolis-server_9f6e0f4a-6d1c-4c33-8e5b-0a3c0d5a7f02\n"
)

// running is what a host with the zones of Alice and Bob says.
func running() map[string]string {
	self := strconv.Itoa(os.Getpid())
	return map[string]string{
		"zoneadm": global + "1:" + zoneOf(bob) + ":running:/b:u:omicron1:excl\n" + "2:" + zoneOf(alice) + ":shutting_down:/a:u:omicron1:excl\n",
		"zonecfg": "create -b\nset zonepath=/a\nadd net\nset physical=oxControlInstance3\nend\nadd net\nset physical=\"oxGuest1\"\nend\n",
		"dladm":   "underlay0\noxControlInstance1\noxControlInstance3\noxGuest1\n",
		"zfs":     bobsOwn + "rpool/zones/" + zoneOf(alice) + "\n",
		"pgrep":   self + "\n",
	}
}

// had is what Alice's VMM has while it runs.
func had() []thing {
	return []thing{{kindZone, zoneOf(alice)}, {kindDataset, "rpool/zones/" + zoneOf(alice)}, {kindDirectory, zoneOf(alice)},
		{kindProcess, strconv.Itoa(os.Getpid())}, {kindLink, "oxControlInstance3"}, {kindLink, "oxGuest1"}}
}

func TestStandinGround(t *testing.T) {
	t.Parallel()
	g := hostOf(t, zonesDir(t, true), running())
	got, err := g.look(t.Context(), alice, nil)
	wantThings(t, got, err, had()...)
	if kind := absent(g.kinds(), got); kind != "" {
		t.Errorf("no %s is found", kind)
	}
	if kind := absent(g.kinds(), got[:4]); kind != kindLink {
		t.Errorf("without a link, %q is absent", kind)
	}
	pid, err := g.server(t.Context(), vmm.Status{ID: alice})
	if pid != os.Getpid() || err != nil {
		t.Errorf("server %d, %v", pid, err)
	}
}

// Each thing that outlives its zone is found, and what is another VMM's is not.
func TestStandinGroundAfterwards(t *testing.T) {
	t.Parallel()
	nobody := []thing{{kindProcess, "2147483646"}, {kindLink, "oxControlInstance3"}}
	tests := []struct {
		name       string
		directory  bool
		known      []thing
		dladm, zfs string
		want       []thing
	}{
		{"nothing", false, nobody, "underlay0\noxControlInstance1\n", bobsOwn, nil},
		{"a link", false, nobody, "oxControlInstance3\n", bobsOwn, nobody[1:]},
		{"a process", false, had(), "underlay0\n", bobsOwn, had()[3:4]},
		{"a dataset", false, nil, "", running()["zfs"], had()[1:2]},
		{"a directory", true, nil, "", bobsOwn, had()[2:3]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			says := map[string]string{"zoneadm": global, "dladm": tt.dladm, "zfs": tt.zfs}
			got, err := hostOf(t, zonesDir(t, tt.directory), says).look(t.Context(), alice, tt.known)
			wantThings(t, got, err, tt.want...)
		})
	}
}

// A host that does not answer is no host without anything.
func TestStandinGroundThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, mute := range []string{"zoneadm", "zonecfg", "dladm", "zfs"} {
		says := running()
		delete(says, mute)
		got, err := hostOf(t, t.TempDir(), says).look(t.Context(), alice, nil)
		if err == nil || !strings.Contains(err.Error(), mute) {
			t.Errorf("without an answer of %s: %v, %v", mute, got, err)
		}
	}
	g := hostOf(t, t.TempDir(), map[string]string{"zoneadm": global})
	if pid, err := g.server(t.Context(), vmm.Status{ID: alice}); err == nil {
		t.Errorf("there is no zone, but server %d", pid)
	}
}

func TestLayStandin(t *testing.T) {
	t.Parallel()
	g, err := layStandin(t.Context(), t.TempDir(), map[string]string{standin: program("good-standin"), "propolis-sim": "/p"})
	if err != nil {
		t.Fatal(err)
	}
	want := section{"backend": "illumos", "illumos": section{"command_path": "/x/bin", "zone_root": "/x/zones"}}
	if diff := cmp.Diff(want, g.zones()); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	if err := g.clear(t.Context()); err == nil || !strings.Contains(err.Error(), "will not close") {
		t.Errorf("clear: %v", err)
	}
	for name, want := range map[string]string{"no-standin": "no room", "nothing": "no such file", "chatty": "invalid character"} {
		if _, err := layStandin(t.Context(), t.TempDir(), map[string]string{standin: program(name)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestBackends(t *testing.T) {
	t.Parallel()
	for _, name := range backendNames() {
		if on, err := backendNamed(name); err != nil || on.name != name {
			t.Errorf("%s: %+v, %v", name, on, err)
		}
	}
	if _, err := backendNamed("kvm"); err == nil || !strings.Contains(err.Error(), "process or illumos") {
		t.Errorf("kvm: %v", err)
	}
}
