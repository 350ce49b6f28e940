package sim

// A call is one kind of request to the API, as faults name it.
type call uint8

const (
	callGet call = iota
	callEnsure
	callRun
	callStop
	callReboot
	callMonitor
	callSnapshot
	callSpec
	callMigration
	numCalls
)

// callNames are also the last parts of the faults' names.
var callNames = [numCalls]string{"get", "ensure", "run", "stop", "reboot", "monitor", "snapshot", "spec",
	"migration-status"}

func (c call) String() string { return callNames[c] }
