package wire

import "github.com/sledagent/sledagent/agent/vmm"

var ensureBody = open(
	req("instance_id", uuidText),
	req("local_config", localConfig),
	req("metadata", open(req("project_id", uuidText), req("silo_id", uuidText))),
	opt("migration_id", uuidText),
	req("propolis_addr", sockText),
	req("vmm_runtime", open(req("gen", generation), req("state", liveStates()), req("time_updated", timeText))),
	req("vmm_spec", instanceSpec),
)

// liveStates lists the states that a VMM can be registered with. One that has
// ended cannot be: nothing could be run in it, and its end would be published
// as news.
func liveStates() words {
	var live words
	for _, s := range vmm.WireStates() {
		if !s.Terminal() {
			live = append(live, string(s))
		}
	}
	return live
}

var putStateBody = open(req("state", tagged("type", map[string]record{
	"running":          open(),
	"stopped":          open(),
	"reboot":           open(),
	"migration_target": open(req("value", open(req("src_propolis_addr", sockText)))),
})))

var snapshotBody = open(req("snapshot_id", uuidText))
