package zonedir

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

func TestRecordsComeBack(t *testing.T) {
	t.Parallel()
	root := zoneRoot(t)
	config := Config{
		Spec: zone.Spec{Name: "oxz_a", Addr: netip.MustParseAddrPort("[fd00::1%eth0]:12400"),
			NICs: []zone.NIC{{ID: "n", MAC: "a8:40:25:00:00:01", MTU: 1500}}, Devices: []string{"/dev/zvol/x"}},
		Links: map[string]string{"n": "vnic0"},
	}
	boot := Boot{Init: proc.ID{PID: 12, Start: 1 << 63}, PIDNS: true, Cgroup: "/cg/x", Dir: Dir{Device: 1 << 63, Inode: 7}}
	exit := Exit{How: "exit status 1", At: time.Unix(1700000000, 5).UTC()}
	comeBack(t, root, ConfigFile, config, ParseConfig)
	comeBack(t, root, BootFile, boot, ParseBoot)
	comeBack(t, root, ExitFile, exit, ParseExit)
	if _, err := root.Lstat(BootFile + fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a half-written file is left: %v", err)
	}
}

func comeBack[T any](t *testing.T, root *os.Root, name string, want T, parse func([]byte) (T, error)) {
	t.Helper()
	if err := Write(root, name, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(root, name, parse)
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("%s: %v\n%s", name, err, diff)
	}
}

func FuzzRecords(f *testing.F) {
	for _, seed := range []string{"", "null", "{}", `{"init":{"pid":1,"start":5},"boot_id":"x"}`,
		`{"init":{"pid":5,"start":5},"boot_id":"x","cgroup":"/"}`, `{"how":"x"}`, `{"spec":{"Name":"a","Addr":"[::1]:80"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := ParseBoot(data); err == nil && (b.Init.PID <= 1 || b.Init.Start == 0) {
			t.Errorf("boot %+v identifies no process", b)
		}
		if c, err := ParseConfig(data); err == nil {
			if zone.ValidName(c.Spec.Name) != nil {
				t.Errorf("config of %q", c.Spec.Name)
			}
			if _, err := json.Marshal(c); err != nil {
				t.Errorf("config cannot be written again: %v", err)
			}
		}
		if e, err := ParseExit(data); err == nil && e.How == "" {
			t.Error("exit is empty")
		}
	})
}

// countdown is a context that ends after that many calls of Err.
type countdown struct {
	context.Context
	left *int
}

func (c countdown) Err() error {
	if *c.left--; *c.left < 0 {
		return context.Canceled
	}
	return nil
}

// An interrupted uninstall leaves a zone that is Incomplete, never one that could be
// booted.
func TestStripIsInterrupted(t *testing.T) {
	t.Parallel()
	for steps := range 6 {
		root := zoneRoot(t)
		if err := Write(root, ConfigFile, Config{Spec: zone.Spec{Name: "a"}}); err != nil {
			t.Fatal(err)
		}
		if err := root.MkdirAll(filepath.Join(RootDir, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if s, why, err := State(root); s != zone.Installed || err != nil {
			t.Fatal(s, why, err)
		}
		left := steps
		err := Strip(countdown{context.Background(), &left}, root)
		s, why, serr := State(root)
		if serr != nil || (err == nil) != (s == zone.Configured) || s == zone.Installed {
			t.Errorf("after %d steps: %v (%s), %v, %v", steps, s, why, err, serr)
		}
	}
}
