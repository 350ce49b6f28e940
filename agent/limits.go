package agent

import "time"

const (
	// maxVMMs bounds the table. A sled runs at most some hundreds.
	maxVMMs = 10_000
	// maxRegistered is the default of Config.Registered. A registration of Nexus's takes
	// some 20 KiB, so this is enough for maxVMMs.
	maxRegistered = 256 << 20
	// startsAtOnce is the number of zones created concurrently, heavyAtOnce that of
	// zones uninstalled: both load the host's disks.
	startsAtOnce = 8
	heavyAtOnce  = 16
	// unregisterBudget is how long an unregister waits for the zone's removal.
	unregisterBudget = 30 * time.Second
	// listBudget bounds listing all zones.
	listBudget = 5 * time.Second
)
