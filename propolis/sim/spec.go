package sim

import (
	"maps"
)

// Shapes of PUT /instance. Components and everything below them refuse what
// they do not know; the request, the properties and the spec itself do not.

var pciPath = open(fields{"bus": unsigned(8), "device": unsigned(8), "function": unsigned(8)}, nil)

var crucibleBackend = closed(fields{"readonly": boolean, "request_json": text}, nil)

var vnicBackend = closed(fields{"vnic_name": text}, nil)

var failureInjector = closed(fields{"fail_exports": unsigned(32), "fail_imports": unsigned(32)}, nil)

var components = fields{
	"virtio_disk":          closed(fields{"backend_id": text, "pci_path": pciPath}, nil),
	"nvme_disk":            closed(with(nvmeDisk, "has_write_cache", boolean), nil),
	"virtio_nic":           closed(fields{"backend_id": text, "interface_id": id, "pci_path": pciPath}, nil),
	"serial_port":          closed(fields{"num": oneOf("com1", "com2", "com3", "com4")}, nil),
	"pci_pci_bridge":       closed(fields{"downstream_bus": unsigned(8), "pci_path": pciPath}, nil),
	"qemu_pvpanic":         closed(fields{"enable_isa": boolean}, nil),
	"boot_settings":        closed(fields{"order": list(open(fields{"id": text}, nil))}, nil),
	"virtio_socket":        closed(fields{"guest_cid": unsigned(64), "pci_path": pciPath}, nil),
	"soft_npu_pci_port":    closed(fields{"pci_path": pciPath}, nil),
	"soft_npu_port":        closed(fields{"backend_id": text, "link_name": text}, nil),
	"soft_npu_p9":          closed(fields{"pci_path": pciPath}, nil),
	"p9fs":                 closed(fields{"chunk_size": unsigned(32), "pci_path": pciPath, "source": text, "target": text}, nil),
	"blob_storage_backend": closed(fields{"base64": text, "readonly": boolean}, nil),
	"file_storage_backend": closed(fields{"block_size": unsigned(32), "path": text, "readonly": boolean},
		fields{"workers": nullable(unsigned(64))}),
	crucibleType:                 crucibleBackend,
	"virtio_network_backend":     vnicBackend,
	"dlpi_network_backend":       vnicBackend,
	"migration_failure_injector": failureInjector,
}

// crucibleType is the only kind of component that can be snapshotted.
const crucibleType = "crucible_storage_backend"

var nvmeDisk = fields{"backend_id": text, "pci_path": pciPath, "serial_number": exactly(20, unsigned(8))}

// components5 are those of the API before 6.0.0, whose NVMe disks had no say in
// their write cache.
var components5 = with(components, "nvme_disk", closed(nvmeDisk, nil))

func with(f fields, name string, c check) fields {
	f = maps.Clone(f)
	f[name] = c
	return f
}

var cpuid = closed(fields{
	"vendor": oneOf("amd", "intel"),
	"entries": list(closed(fields{"leaf": unsigned(32), "eax": unsigned(32), "ebx": unsigned(32),
		"ecx": unsigned(32), "edx": unsigned(32)}, fields{"subleaf": nullable(unsigned(32))})),
}, nil)

var board = closed(fields{
	"chipset": tagged("type", "value", fields{"i440_fx": closed(fields{"enable_pcie": boolean}, nil)}, closed),
	"cpus":    unsigned(8), "memory_mb": unsigned(64),
}, fields{
	"cpuid": nullable(cpuid),
	"guest_hv_interface": tagged("type", "value", fields{"bhyve": nil,
		"hyper_v": closed(fields{"features": list(oneOf("reference_tsc"))}, nil)}, closed),
})

var smbios = closed(fields{"manufacturer": text, "product_name": text, "serial_number": text,
	"version": unsigned(64)}, nil)

var replacement = tagged("component", "spec", fields{
	"CrucibleStorageBackend":   crucibleBackend,
	"VirtioNetworkBackend":     vnicBackend,
	"MigrationFailureInjector": failureInjector,
}, closed)

var properties = open(fields{
	"id": id, "name": text, "description": text,
	"metadata": open(fields{"silo_id": id, "project_id": id, "sled_id": id, "sled_serial": text,
		"sled_revision": unsigned(32), "sled_model": text}, nil),
}, nil)

// ensureShape is the whole request, of 6.0.0 and of what came before.
var ensureShape, ensureShape5 = ensureOf(components), ensureOf(components5)

func ensureOf(known fields) check {
	spec := open(fields{
		"board":      board,
		"components": each(tagged("type", "component", known, closed)),
	}, fields{"smbios": nullable(smbios)})
	return open(fields{
		"properties": properties,
		"init": tagged("method", "value", fields{
			"Spec": open(fields{"spec": spec}, nil),
			"MigrationTarget": open(fields{"migration_id": id, "src_addr": socketAddr,
				"replace_components": each(replacement)}, nil),
		}, open),
	}, nil)
}
