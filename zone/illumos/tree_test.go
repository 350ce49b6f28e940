package illumos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

func TestRemoveTree(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	path := filepath.Join(t.TempDir(), "tree")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(removeTree(t.Context(), path)) // it does not exist
	must(os.MkdirAll(filepath.Join(path, "a/b/c"), 0o700))
	must(os.MkdirAll(filepath.Join(path, "d"), 0o700))
	must(os.MkdirAll(outside, 0o700))
	must(os.WriteFile(filepath.Join(outside, "file"), nil, 0o600))
	must(os.Symlink(outside, filepath.Join(path, "a/link")))
	must(os.Symlink(outside, filepath.Join(path, "link")))
	for i := range 1000 {
		must(os.Mkdir(filepath.Join(path, "a", fmt.Sprint("d", i)), 0o700))
		must(os.WriteFile(filepath.Join(path, "a", fmt.Sprint("d", i), "f"), nil, 0o400))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := removeTree(ended, path); !errors.Is(err, context.Canceled) || notExist(path) {
		t.Errorf("cancelled: got error %v", err)
	}
	must(removeTree(t.Context(), path))
	if !notExist(path) {
		t.Error("it is left")
	}
	if notExist(filepath.Join(outside, "file")) {
		t.Error("a link was followed")
	}
	must(os.Symlink(outside, path))
	must(removeTree(t.Context(), path))
	if !notExist(path) || notExist(filepath.Join(outside, "file")) {
		t.Error("a link is left, or was followed")
	}
}

// Files mounted below a zone's directory are kept, and the error names the mount.
func TestMountedFilesAreKept(t *testing.T) {
	t.Parallel()
	for _, below := range []string{"/root/mnt/deep", "/root", "/beside"} {
		t.Run(strings.ReplaceAll(below, "/", ""), func(t *testing.T) {
			t.Parallel()
			h := newScripted(t)
			m := h.manager()
			h.create(m)
			point := h.path("bin/root/"+testZone) + below
			if err := os.MkdirAll(point, 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("mount", "-t", "tmpfs", "tmpfs", point).CombinedOutput(); err != nil {
				t.Skipf("nothing can be mounted here: %v: %s", err, out)
			}
			t.Cleanup(h.unmountAll)
			h.write("root/"+testZone+below+"/file", "")
			h.on("umount-umount", `echo "umount: $1 busy" >&2; exit 1`)
			for range 2 {
				if err := m.Remove(bounded(t), zone.RungUninstall, testZone); err == nil || !strings.Contains(err.Error(), point) {
					t.Errorf("got error %v, want that it names %s", err, point)
				}
			}
			if err := removeTree(bounded(t), h.path("bin/root/"+testZone)); err == nil {
				t.Error("the walk went through a mount")
			}
			if points, lost := h.mountsBelow(); len(points) != 1 || len(lost) > 0 {
				t.Errorf("mounted: %v, without its file: %v", points, lost)
			}
			h.unmountAll()
			h.wantGone(m)
		})
	}
}

// mountsBelow returns the mounts below the host's zonepaths, wherever they were
// moved to, and which of them have lost their file.
func (h *scripted) mountsBelow() (points, lost []string) {
	h.t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, mnt := range readMounts(string(table)) {
		if strings.HasPrefix(mnt.point, h.path("bin/root/")) {
			points = append(points, mnt.point)
			if notExist(filepath.Join(mnt.point, "file")) {
				lost = append(lost, mnt.point)
			}
		}
	}
	return points, lost
}

func (h *scripted) unmountAll() {
	points, _ := h.mountsBelow()
	for _, point := range points {
		if out, err := exec.Command("umount", point).CombinedOutput(); err != nil {
			h.t.Errorf("%v: %s", err, out)
		}
	}
}
