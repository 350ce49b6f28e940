package qemu

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const board = `"board":{"cpus":2,"memory_mb":512,"chipset":{"type":"i440_fx","value":{"enable_pcie":false}}}`

// always are the arguments of every VM of that board, before those of its components.
var always = []string{"-no-user-config", "-nodefaults", "-display", "none",
	"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
	"-machine", "q35,smm=off", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "size=512M", "-S", "-no-shutdown",
	"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"}

const pvpanic = `{"driver":"pvpanic-pci"}`

func at(device int) string {
	text, _ := json.Marshal(map[string]int{"bus": 0, "device": device, "function": 0})
	return string(text)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	const volume = "0e4f1c55-7c3e-4c8e-9a2d-2f4a1b6c7d8e"
	file := `"f":{"type":"file_storage_backend","component":{"path":"/d/a,b.raw","readonly":true,"block_size":4096}}`
	for name, c := range map[string]struct {
		spec, components string
		o                Options
		opens            []inherited
		want             []string
	}{
		"nothing": {want: nil},
		"a file of a virtio disk": {
			components: file + `,"d":{"type":"virtio_disk","component":{"backend_id":"f","pci_path":` + at(16) + `}}`,
			opens:      []inherited{{what: `component "f"`, path: "/d/a,b.raw", readOnly: true}},
			want: []string{
				"-add-fd", "fd=5,set=5", "-blockdev", `{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/5"},"node-name":"disk0","read-only":true}`,
				"-device", `{"addr":"0x10.0x0","bus":"pcie.0","driver":"virtio-blk-pci","rerror":"report","werror":"report","drive":"disk0","logical_block_size":4096,` +
					`"physical_block_size":4096,"write-cache":"on"}`},
		},
		"a blob of an NVMe disk, first to boot": {
			components: `"blob":{"type":"blob_storage_backend","component":{"base64":"aGVsbG8=","readonly":false}},
				"boot":{"type":"boot_settings","component":{"order":[{"id":"none"},{"id":"nvme"}]}},
				"none":{"type":"nvme_disk","component":{"backend_id":"f","has_write_cache":true,"pci_path":` + at(3) + `}},` + file + `,
				"nvme":{"type":"nvme_disk","component":{"backend_id":"blob","has_write_cache":false,"pci_path":` + at(2) + `,
					"serial_number":[65,66,0,32,255]}}`,
			opens: []inherited{{what: `component "f"`, path: "/d/a,b.raw", readOnly: true},
				{what: `component "blob"`, content: append([]byte("hello"), make([]byte, 507)...)}},
			want: []string{
				"-add-fd", "fd=5,set=5", "-blockdev", `{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/5"},"node-name":"disk0","read-only":true}`,
				"-device", `{"addr":"0x3.0x0","bootindex":0,"bus":"pcie.0","drive":"disk0","driver":"nvme","logical_block_size":4096,` +
					`"physical_block_size":4096,"serial":"disk0","write-cache":"on"}`,
				"-add-fd", "fd=6,set=6", "-blockdev", `{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/6"},"node-name":"disk1","read-only":false}`,
				"-device", `{"addr":"0x2.0x0","bootindex":1,"bus":"pcie.0","drive":"disk1","driver":"nvme","serial":"AB","write-cache":"off"}`},
		},
		"a Crucible volume": {
			components: `"v":{"type":"crucible_storage_backend","component":{"readonly":false,"request_json":"{\"type\":\"volume\",\"id\":\"` +
				volume + `\"}"}},"d":{"type":"virtio_disk","component":{"backend_id":"v","pci_path":` + at(1) + `}}`,
			o:     Options{CrucibleDir: "/crucible"},
			opens: []inherited{{what: `component "v"`, path: "/crucible/" + volume + ".raw"}},
			want: []string{
				"-add-fd", "fd=5,set=5", "-blockdev", `{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/5"},"node-name":"disk0","read-only":false}`,
				"-device", `{"addr":"0x1.0x0","bus":"pcie.0","driver":"virtio-blk-pci","rerror":"report","werror":"report","drive":"disk0","write-cache":"on"}`},
		},
		"network": {
			components: nic(8), o: Options{Net: "user"},
			want: []string{"-netdev", `{"id":"nic0","type":"user"}`,
				"-device", `{"addr":"0x8.0x0","bus":"pcie.0","driver":"virtio-net-pci","mac":"1e:0a:2b:3c:4d:5e","netdev":"nic0"}`},
		},
		"tap": {
			components: nic(8), o: Options{Net: "tap"},
			opens: []inherited{{what: `component "nic"`, tap: &tap{name: "vnic0,x=1", mac: "1e:0a:2b:3c:4d:5e"}}},
			want: []string{"-netdev", `{"fd":"5","id":"nic0","type":"tap"}`,
				"-device", `{"addr":"0x8.0x0","bus":"pcie.0","driver":"virtio-net-pci","mac":"1e:0a:2b:3c:4d:5e","netdev":"nic0"}`},
		},
		"bridge": {
			components: nic(8), o: Options{Net: "bridge=br0"},
			opens: []inherited{{what: `component "nic"`, tap: &tap{bridge: "br0", mac: "1e:0a:2b:3c:4d:5e"}}},
			want: []string{"-netdev", `{"fd":"5","id":"nic0","type":"tap"}`,
				"-device", `{"addr":"0x8.0x0","bus":"pcie.0","driver":"virtio-net-pci","mac":"1e:0a:2b:3c:4d:5e","netdev":"nic0"}`},
		},
		"no network": {
			components: nic(8), o: Options{Net: "none"},
			want: []string{"-device", `{"addr":"0x8.0x0","bus":"pcie.0","driver":"virtio-net-pci","mac":"1e:0a:2b:3c:4d:5e"}`},
		},
		"functions of one device": {
			components: nic(8) + `,"disk":{"type":"virtio_disk","component":{"backend_id":"f","pci_path":{"bus":0,"device":8,"function":1}}},` + file,
			o:          Options{Net: "none"},
			opens:      []inherited{{what: `component "f"`, path: "/d/a,b.raw", readOnly: true}},
			want: []string{
				"-add-fd", "fd=5,set=5", "-blockdev", `{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/5"},"node-name":"disk0","read-only":true}`,
				"-device", `{"addr":"0x8.0x1","bus":"pcie.0","driver":"virtio-blk-pci","rerror":"report","werror":"report","drive":"disk0","logical_block_size":4096,` +
					`"multifunction":true,"physical_block_size":4096,"write-cache":"on"}`,
				"-device", `{"addr":"0x8.0x0","bus":"pcie.0","driver":"virtio-net-pci","mac":"1e:0a:2b:3c:4d:5e","multifunction":true}`},
		},
		"serial ports and panics": {
			components: `"a":{"type":"serial_port","component":{"num":"com1"}},"b":{"type":"serial_port","component":{"num":"com3"}},
				"c":{"type":"qemu_pvpanic","component":{"enable_isa":true}},"d":{"type":"qemu_pvpanic","component":{"enable_isa":false}}`,
			want: []string{"-chardev", "socket,id=com1,fd=4", "-device", `{"chardev":"com1","driver":"isa-serial","index":0}`,
				"-chardev", "null,id=com3", "-device", `{"chardev":"com3","driver":"isa-serial","index":2}`,
				"-device", `{"driver":"pvpanic"}`},
		},
		"SMBIOS and a kernel": {
			spec:  `"smbios":{"manufacturer":"A, B","product_name":"P","serial_number":"S,uuid=1","version":7},`,
			o:     Options{Kernel: "/k", Initrd: "/i", Append: "a b"},
			opens: []inherited{{what: "kernel", path: "/k", boot: true}, {what: "initrd", path: "/i", boot: true}},
			want: []string{"-smbios", "type=1,manufacturer=A,, B,product=P,version=7,serial=S,,uuid=1",
				"-kernel", "/proc/self/fd/5", "-initrd", "/proc/self/fd/6", "-append", "a b"},
		},
	} {
		p, err := newPlan([]byte(`{`+c.spec+board+`,"components":{`+c.components+`}}`), c.o, "tcg")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := append(append(append([]string{}, always...), c.want...), "-device", pvpanic)
		for i := range want {
			want[i] = inOrder(want[i])
		}
		if diff := cmp.Diff(want, p.args); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		if diff := cmp.Diff(c.opens, p.inherits, cmp.AllowUnexported(inherited{}, tap{})); diff != "" {
			t.Errorf("%s: files: -want +got:\n%s", name, diff)
		}
	}
}

// inOrder sorts the keys of an object.
func inOrder(text string) string {
	var o map[string]any
	if json.Unmarshal([]byte(text), &o) != nil {
		return text
	}
	sorted, _ := json.Marshal(o)
	return string(sorted)
}

func nic(device int) string {
	return `"net":{"type":"virtio_network_backend","component":{"vnic_name":"vnic0,x=1"}},
		"nic":{"type":"virtio_nic","component":{"backend_id":"net","interface_id":"4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e","pci_path":` + at(device) + `}}`
}

// A blob is of whole sectors.
func TestBlob(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("x"), 513)
	p, err := newPlan([]byte(`{`+board+`,"components":{"b":{"type":"blob_storage_backend","component":{"base64":"`+
		base64.StdEncoding.EncodeToString(content)+`","readonly":true}},
		"d":{"type":"virtio_disk","component":{"backend_id":"b","pci_path":`+at(1)+`}}}}`), Options{}, "tcg")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.disks["b"]; got.path != "" || !got.readOnly || !bytes.Equal(got.content, append(content, make([]byte, 511)...)) {
		t.Errorf("got %s with %d bytes, read-only %v", got.path, len(got.content), got.readOnly)
	}
}

// What QEMU cannot make is refused with the name of the component.
func TestRefused(t *testing.T) {
	t.Parallel()
	file := `"f":{"type":"file_storage_backend","component":{"path":"/d","readonly":true}},`
	disk := func(backend, path string) string {
		return `"d":{"type":"virtio_disk","component":{"backend_id":"` + backend + `","pci_path":` + path + `}}`
	}
	crucible := `"c":{"type":"crucible_storage_backend","component":{"readonly":false,"request_json":"{}"}},`
	for name, c := range map[string]struct {
		board, components string
		o                 Options
		want              string
	}{
		"a volume":             {components: crucible + disk("c", at(1)), want: `component "d": backend "c": QEMU has no Crucible volumes`},
		"a volume without id":  {components: crucible + disk("c", at(1)), o: Options{CrucibleDir: "/c"}, want: `component "d": backend "c": its request_json`},
		"SoftNPU":              {components: `"s":{"type":"soft_npu_pci_port","component":{}}`, want: `component "s": QEMU has no SoftNPU`},
		"a bridge":             {components: `"b":{"type":"pci_pci_bridge","component":{}}`, want: `component "b": QEMU has no PCI bridge`},
		"another bus":          {components: file + disk("f", `{"bus":1,"device":1,"function":0}`), want: `component "d": PCI path 1.1.0 is not possible`},
		"the host bridge":      {components: file + disk("f", at(0)), want: `component "d": PCI path 0.0.0`},
		"the chipset":          {components: file + disk("f", at(31)), want: `component "d": PCI path 0.31.0`},
		"a function":           {components: file + disk("f", `{"bus":0,"device":1,"function":8}`), want: `component "d": PCI path 0.1.8`},
		"no backend":           {components: disk("f", at(1)), want: `component "d": no storage backend "f"`},
		"one for two":          {components: file + disk("f", at(1)) + "," + strings.Replace(disk("f", at(2)), `"d"`, `"e"`, 1), want: `component "e": backend "f" has another device`},
		"a relative path":      {components: strings.Replace(file, "/d", "d", 1) + disk("f", at(1)), want: `component "d": backend "f": path "d"`},
		"a blob that is none":  {components: `"b":{"type":"blob_storage_backend","component":{"base64":"?"}},` + disk("b", at(1)), want: `component "d": backend "b": illegal base64`},
		"no network":           {components: strings.Replace(nic(1), `"net":{`, `"other":{`, 1), want: `component "nic": no network backend "net"`},
		"a boot from nothing":  {components: `"b":{"type":"boot_settings","component":{"order":[{"id":"x"}]}}`, want: `boot order: there is no disk "x"`},
		"a slot twice":         {components: file + disk("f", at(8)) + "," + nic(8), want: `component "nic": component "d" has the same PCI path`},
		"no CPU":               {board: `"board":{"cpus":0,"memory_mb":1}`, want: "board: no CPUs"},
		"no memory":            {board: `"board":{"cpus":1,"memory_mb":0}`, want: "board: no memory"},
		"a CPUID":              {board: `"board":{"cpus":1,"memory_mb":1,"cpuid":{"entries":[],"vendor":"amd"}}`, want: "board: cpuid"},
		"another hypervisor":   {board: `"board":{"cpus":1,"memory_mb":1,"guest_hv_interface":{"type":"hyper_v"}}`, want: "board: guest_hv_interface"},
		"a migration's device": {components: `"m":{"type":"migration_failure_injector","component":{}}`, want: `component "m"`},
	} {
		if c.board == "" {
			c.board = board
		}
		_, err := newPlan([]byte(`{`+c.board+`,"components":{`+c.components+`}}`), c.o, "tcg")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
