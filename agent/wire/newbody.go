package wire

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// BodyOptions configure NewBody. A zero value means the default.
type BodyOptions struct {
	// InstanceID is random by default.
	InstanceID uuid.UUID
	// PropolisAddr is [::1]:12400 by default.
	PropolisAddr netip.AddrPort
	// Hostname is "demo" by default.
	Hostname string
	// CPUs is 2 by default.
	CPUs uint8
	// MemoryMiB is 1024 by default.
	MemoryMiB uint64
	// NICs is the number of network interfaces, none by default and at most 64. The first
	// is the primary one.
	NICs int
	// Disks are files of the host that are the VMM's disks, at most 8. Only a Propolis that takes
	// files has them, such as propolis-qemu; Omicron's have Crucible volumes.
	Disks []string
	// MigrationID makes the VMM the target of a live migration.
	MigrationID *uuid.UUID
	// State is starting by default, or migrating with a MigrationID.
	State vmm.WireState
	// Gen is 2 by default, like Nexus's.
	Gen uint64
}

type dict = map[string]any

// NewBody returns the body of a registration of a small VMM, for the debug CLI, demonstrations
// and tests.
func NewBody(o BodyOptions) []byte {
	o = o.withDefaults()
	components, nics := dict{"com1": part("serial_port", dict{"num": "com1"})}, []dict{}
	for i := range min(o.NICs, 64) {
		id := uuid.NewSHA1(o.InstanceID, fmt.Appendf(nil, "net%d", i))
		nics = append(nics, newNIC(o.InstanceID, id, i, o.mac(i)))
		components[id.String()] = part(networkBackend, dict{"vnic_name": ""})
		components[id.String()+":device"] = part("virtio_nic", dict{"backend_id": id, "interface_id": id,
			"pci_path": dict{"bus": 0, "device": 8 + i%8, "function": i / 8 % 8}})
	}
	for i, path := range o.Disks[:min(len(o.Disks), 8)] {
		name := fmt.Sprintf("disk%d", i)
		components[name] = part("file_storage_backend", dict{"path": path, "readonly": false, "block_size": 512, "workers": nil})
		components[name+":device"] = part("virtio_disk", dict{"backend_id": name, "pci_path": dict{"bus": 0, "device": 16 + i, "function": 0}})
	}
	body, err := json.Marshal(dict{
		"instance_id":   o.InstanceID,
		"migration_id":  o.MigrationID,
		"propolis_addr": o.PropolisAddr,
		"metadata":      dict{"silo_id": uuid.Nil, "project_id": uuid.Nil},
		"vmm_runtime":   dict{"state": o.State, "gen": o.Gen, "time_updated": time.Now().UTC()},
		"vmm_spec":      dict{"board": o.board(), "components": components, "smbios": nil},
		"local_config":  newLocalConfig(o.Hostname, nics),
	})
	if err != nil {
		panic(fmt.Sprintf("marshal registration: %v", err)) // its types can always be marshalled
	}
	return body
}

func (o BodyOptions) withDefaults() BodyOptions {
	if o.InstanceID == uuid.Nil {
		o.InstanceID = uuid.New()
	}
	if !o.PropolisAddr.IsValid() {
		o.PropolisAddr = netip.AddrPortFrom(netip.IPv6Loopback(), 12400)
	}
	if o.Hostname == "" {
		o.Hostname = "demo"
	}
	if o.CPUs == 0 {
		o.CPUs = 2
	}
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 1024
	}
	if o.State == "" && o.MigrationID != nil {
		o.State = vmm.WireMigrating
	} else if o.State == "" {
		o.State = vmm.WireStarting
	}
	if o.Gen == 0 {
		o.Gen = 2
	}
	return o
}

func (o BodyOptions) board() dict {
	return dict{
		"chipset":   dict{"type": "i440_fx", "value": dict{"enable_pcie": false}},
		"cpus":      o.CPUs,
		"memory_mb": o.MemoryMiB,
		"cpuid":     nil,
	}
}

func part(kind string, fields dict) dict { return dict{"type": kind, "component": fields} }

// mac returns the address of the i-th interface, in Oxide's range for guests,
// A8:40:25:F0 to F7. It depends on the VMM's address, since an illumos host refuses
// duplicates on one link.
func (o BodyOptions) mac(i int) string {
	ip := o.PropolisAddr.Addr().As16()
	last := uint16(ip[14])<<8 | uint16(ip[15])
	n := uint32((o.PropolisAddr.Port()-12400)^(last-1))<<3 + uint32(i)
	return fmt.Sprintf("A8:40:25:%02X:%02X:%02X", 0xF0|n>>16&7, n>>8&0xFF, n&0xFF)
}

func newNIC(instance, id uuid.UUID, i int, mac string) dict {
	return dict{
		"id":   id,
		"kind": dict{"type": "instance", "id": instance},
		"name": fmt.Sprintf("net%d", i),
		"ip_config": dict{"type": "v4", "value": dict{
			"ip": fmt.Sprintf("172.30.%d.5", i), "subnet": fmt.Sprintf("172.30.%d.0/24", i), "transit_ips": []string{}}},
		"mac":     mac,
		"vni":     100,
		"primary": i == 0,
		"slot":    i,
	}
}

func newLocalConfig(hostname string, nics []dict) dict {
	return dict{
		"hostname":         hostname,
		"nics":             nics,
		"external_ips":     dict{"v4": nil, "v6": nil},
		"attached_subnets": []dict{},
		"multicast_groups": []dict{},
		"firewall_rules":   []dict{},
		"dhcp_config":      dict{"dns_servers": []string{}, "host_domain": nil, "search_domains": []string{}},
		"delegated_zvols":  []dict{},
		"primary_nic_mtu":  nil,
	}
}
