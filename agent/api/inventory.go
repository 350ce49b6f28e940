package api

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/disposition"
)

// A Sled is what the inventory contains besides the Identifiers.
type Sled struct {
	// Addr is where the sled API listens.
	Addr netip.AddrPort
	// CPUFamily is one of the API's values, such as "amd_milan"; empty if it is unknown.
	CPUFamily string
	Threads   int
	// Memory and Reservoir are sizes in bytes.
	Memory, Reservoir uint64
	// Disposition and VMMs are of the same moment. They count once the ledger is Loaded.
	Disposition disposition.State
	VMMs        int
	Loaded      bool
}

// statusSince is the version of the API since which the inventory has the status of the
// instance manager.
const statusSince = 53

// inventory answers in the newest shape; older versions of Nexus tolerate members that
// they do not know.
func (s *Server) inventory(c echo.Context) (any, error) {
	ids, err := s.identifiers(c)
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.begin(c)
	if err != nil {
		return nil, err
	}
	defer end()
	return newInventory(ids, s.agent.Sled(ctx), versionOf(c)), nil
}

// newInventory returns an Inventory of a version of the API. This agent manages no disks,
// pools, datasets or zones of the control plane, so their lists are empty, and nothing is
// reconciled.
func newInventory(ids Identifiers, sled Sled, version uint64) map[string]any {
	type object = map[string]any
	none := []any{}
	manifest := object{"boot_disk_path": "", "non_boot_status": none,
		"boot_inventory": object{"err": "this agent manages no install dataset"}}
	all := object{
		"sled_id":            ids.SledID,
		"sled_agent_address": sixth(sled.Addr),
		// A scrimlet is attached to the rack's switch, which other software manages.
		"sled_role":               "gimlet",
		"baseboard_id":            object{"part_number": ids.Model, "serial_number": ids.Serial},
		"usable_hardware_threads": sled.Threads,
		"usable_physical_ram":     sled.Memory,
		"cpu_family":              cmp.Or(sled.CPUFamily, "unknown"),
		"reservoir_size":          sled.Reservoir,
		"disks":                   none,
		"zpools":                  none,
		"datasets":                none,
		"reference_measurements":  none,
		"ledgered_sled_config":    configFor(sled.Disposition.Config, version),
		"reconciler_status":       object{"status": "not_yet_run"},
		"last_reconciliation":     nil,
		"file_source_resolver": object{"zone_manifest": manifest, "measurement_manifest": manifest,
			"mupdate_override": object{"boot_disk_path": "", "boot_override": object{"ok": nil}, "non_boot_status": none}},
		"smf_services_enabled_not_online": object{"type": "data_unavailable"},
		"fmd":                             object{"err": object{"kind": "fmd_error", "message": "this agent does not ask fmd"}},
	}
	if version >= statusSince {
		all["instance_manager_status"] = object{"update_disposition": currentDisposition(sled), "num_registered_vmms": sled.VMMs}
	}
	return all
}

func currentDisposition(sled Sled) map[string]any {
	if !sled.Loaded {
		return map[string]any{"disposition": "config_not_available"}
	}
	return map[string]any{"disposition": "known", "value": sled.Disposition.Value()}
}

// configShapes are the versions in which the shape of a sled configuration changed.
var configShapes = []uint64{1, 4, 10, 11, 14, 49, 51}

// configFor returns the sled configuration for an inventory, or nil if it was sent in
// another shape than that of this version: Nexus could not read it.
func configFor(c *disposition.Config, version uint64) json.RawMessage {
	if c == nil || shapeOf(c.APIVersion) != shapeOf(version) {
		return nil
	}
	return c.Body
}

// shapeOf returns the number of changes up to a version.
func shapeOf(version uint64) int {
	n, same := slices.BinarySearch(configShapes, version)
	if same {
		n++
	}
	return n
}

// sixth returns an IPv6 socket address: the reference's type has no other.
func sixth(a netip.AddrPort) string {
	if !a.IsValid() {
		a = netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port()).String()
}
