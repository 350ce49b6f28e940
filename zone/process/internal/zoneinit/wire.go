package zoneinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Arg0 is the init's name, by which Main knows itself and ps shows it. Its only
// argument is the zone's directory.
const Arg0 = "sled-zone-init"

// EnvZone is the variable that carries the zone's directory in every process of
// the zone. Where nothing stronger holds the zone together, it is how a process
// that has lost its parent is still found.
const EnvZone = "SLED_ZONE"

// socketFD is where the init finds its end of the handshake.
const socketFD = 3

// maxMessage bounds what either side reads in the handshake, in bytes.
const maxMessage = 4 << 20

// A Job is what the agent asks of an init.
type Job struct {
	// Argv is the server's command; its first element is a path.
	Argv []string `json:"argv"`
	// LogMax is the most bytes of its log that are kept.
	LogMax int64 `json:"log_max"`
	// PIDNS tells that the init is the first process of a PID namespace.
	PIDNS bool `json:"pid_namespace"`
}

// A Reply is how the server's start went; Error is empty if it runs.
type Reply struct {
	Error string `json:"error,omitempty"`
}

// Start gives an init its job and returns when the server was started or could
// not be. How long that may take is for conn's deadlines to say.
func Start(conn io.ReadWriter, job Job) error {
	if err := json.NewEncoder(conn).Encode(job); err != nil {
		return fmt.Errorf("tell zone init its job: %w", err)
	}
	var reply Reply
	if err := receive(conn, &reply); err != nil {
		return fmt.Errorf("hear from zone init: %w", err)
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	return nil
}

func receive(conn io.Reader, message any) error {
	return json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(message)
}
