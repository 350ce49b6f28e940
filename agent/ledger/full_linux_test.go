package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk fills a real file system under an open ledger: Save fails, acknowledged
// entries stay, and writes succeed again once there is space.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := tinyDisk(t)
	path, ballast := filepath.Join(dir, FileName), filepath.Join(dir, "ballast")
	l := opened(t, path, Options{})
	saved(t, l, vmmID(0), numbered(1, 1, 3000))
	fill(t, ballast)
	var refused error
	acked := uint64(1)
	for gen := uint64(2); gen < 1000 && refused == nil; gen++ {
		if refused = waitFor(l.Save(vmmID(int(gen)), numbered(1, gen, 20000))); refused == nil {
			acked = gen
		}
	}
	if !errors.Is(refused, syscall.ENOSPC) || !errors.Is(l.Trouble(), syscall.ENOSPC) {
		t.Fatalf("received %v, trouble: %v", refused, l.Trouble())
	}
	all := loaded(t, l)
	for gen := uint64(2); gen <= acked; gen++ {
		if all[vmmID(int(gen))].State.Record.VMM.Gen != gen {
			t.Errorf("VMM of generation %d is not there", gen)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	saved(t, l, vmmID(0), numbered(1, 2000, 3000))
	closed(t, l)
	all = loaded(t, opened(t, path, Options{}))
	if all[vmmID(0)].State.Record.VMM.Gen != 2000 || len(all) != int(acked)+1 {
		t.Errorf("%d VMMs, want %d: the one that failed was written later", len(all), acked+1)
	}
	if l.Trouble() != nil {
		t.Errorf("trouble: %v", l.Trouble())
	}
}

// tinyDisk mounts a file system of one megabyte, which requires root.
func tinyDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a tiny file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves little space on a file's file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	info, statErr := f.Stat()
	if !errors.Is(err, syscall.ENOSPC) || statErr != nil {
		t.Fatal(err, statErr)
	}
	if err := errors.Join(f.Truncate(max(0, info.Size()-int64(100<<10))), f.Close()); err != nil {
		t.Fatal(err)
	}
}
