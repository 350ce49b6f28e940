package standin

import (
	"encoding/json"
	"fmt"
	"os"
)

// faultCommand puts faults in from a shell: "fault" lists them, "fault JSON"
// puts one in and prints its id, "fault release [ID]" takes one or all away.
func (h *host) faultCommand(args []string) int {
	switch {
	case len(args) == 0:
		for _, f := range h.Faults() {
			fmt.Println(string(must(json.Marshal(f))))
		}
	case args[0] == "release" && len(args) == 1:
		h.Release("")
	case args[0] == "release":
		h.Release(args[1])
	default:
		var f Fault
		if err := json.Unmarshal([]byte(args[0]), &f); err != nil {
			fmt.Fprintf(os.Stderr, "illumos-standin: fault %s: %v\n", args[0], err)
			return 2
		}
		fmt.Println(h.Inject(f))
	}
	return 0
}
