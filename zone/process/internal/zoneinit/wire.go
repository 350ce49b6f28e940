package zoneinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sledagent/sledagent/zone"
)

// Arg0 is the init's argv[0], which Main recognizes and ps shows. Its only argument is
// the zone's directory.
const Arg0 = "sled-zone-init"

// Dir returns the directory of the zone whose init has this command line. ok is false
// if it is not the command line of an init.
func Dir(args []string) (dir string, ok bool) {
	if len(args) != 2 || args[0] != Arg0 || !filepath.IsAbs(args[1]) {
		return "", false
	}
	return args[1], true
}

// EnvZone is the variable with the zone's directory in the environment of every process
// of the zone. Without a stronger isolation it identifies orphans.
const EnvZone = "SLED_ZONE"

// Env returns the environment of the init of the zone in dir. The runtime of an init that is told
// to use one processor starts in a little less time; if it does not look for the limit of its
// control group it has two files less open.
func Env(dir string) []string {
	return []string{EnvZone + "=" + dir, "GOMAXPROCS=1", "GODEBUG=containermaxprocs=0"}
}

// socketFD is the descriptor of the init's end of the handshake.
const socketFD = 3

// maxMessage bounds a message of the handshake, in bytes.
const maxMessage = 4 << 20

// A Job is the agent's request to an init.
type Job struct {
	// Argv is the server's command; its first element is a path.
	Argv []string `json:"argv"`
	// Env is the server's environment, with EnvZone.
	Env []string `json:"env"`
	// LogMax bounds the server's log, in bytes.
	LogMax int64 `json:"log_max"`
	// PIDNS reports whether the init is the first process of a PID namespace.
	PIDNS bool `json:"pid_namespace"`
	// Counted reports whether a control group limits the zone's tasks.
	Counted bool `json:"counted"`
}

// A Reply is the result of the server's start; Error is empty if it was started.
type Reply struct {
	Error string `json:"error,omitempty"`
	// Short reports whether the host was short of processes, memory or descriptors.
	Short bool `json:"short,omitempty"`
}

// Start sends an init its job and waits for its reply. It is bounded by conn's
// deadlines only.
func Start(conn io.ReadWriter, job Job) error {
	if err := json.NewEncoder(conn).Encode(job); err != nil {
		return fmt.Errorf("send job to zone init: %w", err)
	}
	var reply Reply
	if err := receive(conn, &reply); err != nil {
		return fmt.Errorf("receive reply from zone init: %w", err)
	}
	switch {
	case reply.Error != "" && reply.Short:
		return fmt.Errorf("%w: %s", zone.ErrBusy, reply.Error)
	case reply.Error != "":
		return errors.New(reply.Error)
	}
	return nil
}

func receive(conn io.Reader, message any) error {
	return json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(message)
}
