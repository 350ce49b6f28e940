package qemu

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// A spec is an instance spec, as far as it decides what QEMU is told. The API's server has
// checked its form.
type spec struct {
	Board struct {
		CPUs      uint8  `json:"cpus"`
		MemoryMB  uint64 `json:"memory_mb"`
		CPUID     any    `json:"cpuid"`
		Interface struct {
			Type string `json:"type"`
		} `json:"guest_hv_interface"`
	} `json:"board"`
	Components map[string]component `json:"components"`
	SMBIOS     *smbios              `json:"smbios"`
}

type smbios struct {
	Manufacturer string `json:"manufacturer"`
	Product      string `json:"product_name"`
	Serial       string `json:"serial_number"`
	Version      uint64 `json:"version"`
}

type component struct {
	Type      string
	Component settings
}

// settings are the fields of all kinds of components that are used.
type settings struct {
	BackendID    string                                `json:"backend_id"`
	InterfaceID  uuid.UUID                             `json:"interface_id"`
	PCIPath      struct{ Bus, Device, Function uint8 } `json:"pci_path"`
	SerialNumber []int                                 `json:"serial_number"`
	WriteCache   *bool                                 `json:"has_write_cache"`
	Num          string                                `json:"num"`
	EnableISA    bool                                  `json:"enable_isa"`
	Order        []struct{ ID string }                 `json:"order"`

	Base64    string `json:"base64"`
	Path      string `json:"path"`
	ReadOnly  bool   `json:"readonly"`
	BlockSize uint32 `json:"block_size"`
	Request   string `json:"request_json"`
	VNIC      string `json:"vnic_name"`
}

// A plan is a VM as QEMU is told to make it.
type plan struct {
	args []string
	// inherits are the files that it inherits from firstFD on.
	inherits []inherited
	// disks are the files of the disks by the names of their backends.
	disks map[string]disk
	// console: the VM has the serial port com1.
	console bool
}

// A disk is the file of a storage backend.
type disk struct {
	node string // QEMU's name of it
	// path is empty for a blob, which has content.
	path     string
	content  []byte
	readOnly bool
	block    uint32 // bytes; 0 for QEMU's default
	fd       int    // QEMU's descriptor of it
	arg      int    // place in the plan's arguments
}

// blockdev is the argument that makes the disk, with the QEMU driver of its file.
func (d disk) blockdev(driver string) string {
	return encoded(map[string]any{"driver": "raw", "node-name": d.node, "read-only": d.readOnly,
		"file": map[string]any{"driver": driver, "filename": nameOfSet(d.fd)}})
}

// A planner collects a VM's command line. Its methods return errors that name the component.
type planner struct {
	plan
	o          Options
	components map[string]component
	boot       map[string]int // place in the boot order by component
	// functions counts the PCI devices with the same number, slots those that exist.
	functions map[uint8]int
	slots     map[string]string
}

// newPlan translates an instance spec.
func newPlan(text json.RawMessage, o Options, accel string) (*plan, error) {
	var s spec
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	p := planner{o: o, components: s.Components, boot: map[string]int{}, functions: map[uint8]int{},
		slots: map[string]string{}, plan: plan{disks: map[string]disk{}}}
	for _, c := range s.Components {
		p.functions[c.Component.PCIPath.Device]++
	}
	if err := p.board(&s, accel); err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(s.Components))
	for _, steps := range []map[string]func(string, settings) error{{"boot_settings": p.bootOrder}, p.devices()} {
		for _, name := range names {
			c := s.Components[name]
			if do := steps[c.Type]; do != nil {
				if err := do(name, c.Component); err != nil {
					return nil, fmt.Errorf("component %q: %w", name, err)
				}
			}
		}
	}
	for _, name := range names {
		if what, ok := impossible[s.Components[name].Type]; ok {
			return nil, fmt.Errorf("component %q: QEMU has no %s", name, what)
		}
	}
	for name := range p.boot {
		if s.Components[name].Component.BackendID == "" {
			return nil, fmt.Errorf("boot order: there is no disk %q", name)
		}
	}
	// Last, since QEMU gives it a free slot.
	p.device(map[string]any{"driver": "pvpanic-pci"})
	return &p.plan, nil
}

// impossible are the types of components that are refused.
var impossible = map[string]string{
	"pci_pci_bridge": "PCI bridge here", "virtio_socket": "virtio socket here", "p9fs": "P9 file system here",
	"soft_npu_pci_port": "SoftNPU", "soft_npu_port": "SoftNPU", "soft_npu_p9": "SoftNPU", "dlpi_network_backend": "DLPI network",
	"migration_failure_injector": "migration",
}

func (p *planner) devices() map[string]func(string, settings) error {
	return map[string]func(string, settings) error{
		"virtio_disk": p.virtioDisk, "nvme_disk": p.nvmeDisk, "virtio_nic": p.nic, "serial_port": p.serialPort,
		"qemu_pvpanic": func(_ string, c settings) error {
			if c.EnableISA {
				p.device(map[string]any{"driver": "pvpanic"})
			}
			return nil
		},
	}
}

func (p *planner) bootOrder(_ string, c settings) error {
	for i, entry := range c.Order {
		p.boot[entry.ID] = i
	}
	return nil
}

func (p *planner) virtioDisk(name string, c settings) error {
	d, err := p.backend(c.BackendID)
	if err != nil {
		return err
	}
	// Errors are the guest's. By default QEMU halts it when the host's disk is full.
	return p.diskDevice(name, c, d, map[string]any{"driver": "virtio-blk-pci", "rerror": "report", "werror": "report"})
}

func (p *planner) nvmeDisk(name string, c settings) error {
	d, err := p.backend(c.BackendID)
	if err != nil {
		return err
	}
	serial := make([]byte, 0, len(c.SerialNumber))
	for _, b := range c.SerialNumber {
		if b > ' ' && b <= '~' { // QEMU takes text, padded with spaces.
			serial = append(serial, byte(b))
		}
	}
	if len(serial) == 0 {
		serial = []byte(d.node)
	}
	return p.diskDevice(name, c, d, map[string]any{"driver": "nvme", "serial": string(serial)})
}

func (p *planner) diskDevice(name string, c settings, d disk, device map[string]any) error {
	device["drive"], device["write-cache"] = d.node, "on"
	if c.WriteCache != nil && !*c.WriteCache {
		device["write-cache"] = "off"
	}
	if d.block > 0 {
		device["logical_block_size"], device["physical_block_size"] = d.block, d.block
	}
	if place, ok := p.boot[name]; ok {
		device["bootindex"] = place
	}
	return p.pciDevice(name, c, device)
}

// backend gives a storage backend to a device.
func (p *planner) backend(name string) (disk, error) {
	if _, taken := p.disks[name]; taken {
		return disk{}, fmt.Errorf("backend %q has another device", name)
	}
	b := p.components[name]
	d := disk{node: fmt.Sprintf("disk%d", len(p.disks)), path: b.Component.Path, readOnly: b.Component.ReadOnly, block: b.Component.BlockSize}
	switch b.Type {
	case "file_storage_backend":
		if !filepath.IsAbs(d.path) {
			return disk{}, fmt.Errorf("backend %q: path %q is not absolute", name, d.path)
		}
	case "blob_storage_backend":
		content, err := base64.StdEncoding.DecodeString(b.Component.Base64)
		if err != nil {
			return disk{}, fmt.Errorf("backend %q: %w", name, err)
		}
		d.content = padded(content)
	case "crucible_storage_backend":
		if p.o.CrucibleDir == "" {
			return disk{}, fmt.Errorf("backend %q: QEMU has no Crucible volumes; --crucible DIR has files in their place", name)
		}
		var volume struct{ ID uuid.UUID }
		if err := json.Unmarshal([]byte(b.Component.Request), &volume); err != nil || volume.ID == uuid.Nil {
			return disk{}, fmt.Errorf("backend %q: its request_json has no id of a volume", name)
		}
		d.path = filepath.Join(p.o.CrucibleDir, volume.ID.String()+".raw")
	default:
		return disk{}, fmt.Errorf("no storage backend %q", name)
	}
	d.fd = p.inherit(inherited{what: fmt.Sprintf("component %q", name), path: d.path, content: d.content, readOnly: d.readOnly})
	p.args = append(p.args, "-add-fd", fmt.Sprintf("fd=%d,set=%d", d.fd, d.fd), "-blockdev")
	d.arg = len(p.args)
	p.args = append(p.args, d.blockdev("file"))
	p.disks[name] = d
	return d, nil
}

// nameOfSet is QEMU's name for the files of a set that -add-fd or add-fd have made.
func nameOfSet(set int) string { return fmt.Sprintf("/dev/fdset/%d", set) }

// padded fills the last sector.
func padded(content []byte) []byte {
	const sector = 512
	return append(content, make([]byte, (sector-len(content)%sector)%sector)...)
}

func (p *planner) nic(name string, c settings) error {
	b := p.components[c.BackendID]
	if b.Type != "virtio_network_backend" {
		return fmt.Errorf("no network backend %q", c.BackendID)
	}
	device := map[string]any{"driver": "virtio-net-pci", "mac": mac(c.InterfaceID)}
	id := fmt.Sprintf("nic%d", len(p.slots))
	bridge, bridged := strings.CutPrefix(p.o.Net, BridgePrefix)
	switch {
	case p.o.Net == "user":
		p.option("-netdev", map[string]any{"type": "user", "id": id})
		device["netdev"] = id
	case p.o.Net == "tap" || bridged:
		t := &tap{mac: mac(c.InterfaceID)}
		if bridged {
			t.bridge = bridge
		} else {
			t.name = b.Component.VNIC
		}
		fd := p.inherit(inherited{what: fmt.Sprintf("component %q", name), tap: t})
		p.option("-netdev", map[string]any{"type": "tap", "id": id, "fd": strconv.Itoa(fd)})
		device["netdev"] = id
	}
	return p.pciDevice(name, c, device)
}

// mac returns a locally administered address for an interface: the spec has none, since on
// illumos it is the VNIC's.
func mac(id uuid.UUID) string {
	b := id[10:16]
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0]&^1|2, b[1], b[2], b[3], b[4], b[5])
}

func (p *planner) serialPort(_ string, c settings) error {
	chardev, index := "null,id="+c.Num, slices.Index([]string{"com1", "com2", "com3", "com4"}, c.Num)
	if index == 0 {
		p.console = true
		chardev = fmt.Sprintf("socket,id=com1,fd=%d", consoleFD)
	}
	p.args = append(p.args, "-chardev", chardev)
	p.device(map[string]any{"driver": "isa-serial", "chardev": c.Num, "index": index})
	return nil
}

// pciDevice adds a device at the place that the spec demands.
func (p *planner) pciDevice(name string, c settings, device map[string]any) error {
	at := c.PCIPath
	// Of q35's bus 0, the host bridge has the first device and the chipset's bridge the last.
	if at.Bus != 0 || at.Device < 1 || at.Device > 30 || at.Function > 7 {
		return fmt.Errorf("PCI path %d.%d.%d is not possible, only 0.1.0 to 0.30.7", at.Bus, at.Device, at.Function)
	}
	addr := fmt.Sprintf("%#x.%#x", at.Device, at.Function)
	if other, taken := p.slots[addr]; taken {
		return fmt.Errorf("component %q has the same PCI path", other)
	}
	p.slots[addr] = name
	device["bus"], device["addr"] = "pcie.0", addr
	if p.functions[at.Device] > 1 {
		device["multifunction"] = true
	}
	p.device(device)
	return nil
}
