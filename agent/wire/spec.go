package wire

// The instance spec of Propolis API 6.0.0, as sled-agent API 48 carries it. Its
// objects refuse fields that they do not know, except those made with open.
var (
	pciPath = open(req("bus", u8), req("device", u8), req("function", u8))
	// A key of a component may be a UUID or a name; every string is one of them.
	specKey = anyText

	instanceSpec = open(
		req("board", board),
		req("components", mapOf{component}),
		opt("smbios", closed(req("manufacturer", anyText), req("product_name", anyText),
			req("serial_number", anyText), req("version", u64))),
	)

	board = closed(
		req("chipset", tagged("type", map[string]record{
			"i440_fx": closed(req("value", closed(req("enable_pcie", truth{})))),
		})),
		opt("cpuid", closed(req("entries", listOf{of: cpuidEntry}), req("vendor", words{"amd", "intel"}))),
		req("cpus", u8),
		def("guest_hv_interface", tagged("type", map[string]record{
			"bhyve":   closed(),
			"hyper_v": closed(req("value", closed(req("features", listOf{of: words{"reference_tsc"}})))),
		})),
		req("memory_mb", u64),
	)

	cpuidEntry = closed(req("leaf", u32), opt("subleaf", u32),
		req("eax", u32), req("ebx", u32), req("ecx", u32), req("edx", u32))
)

// networkBackend is the kind of component that a guest's NIC is made of.
const networkBackend = "virtio_network_backend"

var component = tagged("type", components(map[string]record{
	"virtio_disk":                disk(),
	"nvme_disk":                  disk(req("has_write_cache", truth{}), req("serial_number", listOf{u8, 20})),
	"virtio_nic":                 disk(req("interface_id", uuidText)),
	"serial_port":                closed(req("num", words{"com1", "com2", "com3", "com4"})),
	"pci_pci_bridge":             closed(req("downstream_bus", u8), req("pci_path", pciPath)),
	"qemu_pvpanic":               closed(req("enable_isa", truth{})),
	"boot_settings":              closed(req("order", listOf{of: open(req("id", specKey))})),
	"virtio_socket":              closed(req("guest_cid", u64), req("pci_path", pciPath)),
	"soft_npu_pci_port":          closed(req("pci_path", pciPath)),
	"soft_npu_port":              closed(req("backend_id", specKey), req("link_name", anyText)),
	"soft_npu_p9":                closed(req("pci_path", pciPath)),
	"p9fs":                       closed(req("chunk_size", u32), req("pci_path", pciPath), req("source", anyText), req("target", anyText)),
	"migration_failure_injector": closed(req("fail_exports", u32), req("fail_imports", u32)),
	"crucible_storage_backend":   closed(req("readonly", truth{}), req("request_json", anyText)),
	"file_storage_backend":       closed(req("block_size", u32), req("path", anyText), req("readonly", truth{}), opt("workers", span{1, u64.max})),
	"blob_storage_backend":       closed(req("base64", anyText), req("readonly", truth{})),
	networkBackend:               closed(req("vnic_name", anyText)),
	"dlpi_network_backend":       closed(req("vnic_name", anyText)),
}))

// disk is a PCI device with a backend, and with fields of its own.
func disk(own ...field) record {
	return closed(append(own, req("backend_id", specKey), req("pci_path", pciPath))...)
}

// components wraps each kind of component as {"type": kind, "component": it}.
func components(kinds map[string]record) map[string]record {
	arms := map[string]record{}
	for kind, r := range kinds {
		arms[kind] = closed(req("component", r))
	}
	return arms
}
