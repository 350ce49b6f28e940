package qemu

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// A disk may be a block device of the host.
func TestRealGuestBlockDevice(t *testing.T) {
	t.Parallel()
	s := newSide(t, zerolog.New(zerolog.NewTestWriter(t)), false)
	file := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(file, make([]byte, journalSectors*512), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("this machine makes no loop device: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", device, err, out)
		}
	})
	body := servertest.SpecWith(`"com1":{"type":"serial_port","component":{"num":"com1"}},` +
		`"file":{"type":"file_storage_backend","component":{"path":"` + device + `","readonly":false,"block_size":512,"workers":null}},` +
		`"vda":{"type":"virtio_disk","component":{"backend_id":"file","pci_path":{"bus":0,"device":16,"function":0}}}`)
	s.Want(s.Call("PUT", "/instance", strings.Replace(body, `"cpus":2,"memory_mb":1024`, `"cpus":1,"memory_mb":128`, 1)), "Created")
	s.Want(s.Put("Run"), "No Content")
	s.says("guest disks [vda:128:0]", 0)
	s.types("journal")
	s.says("guest journal full", 0)
}
