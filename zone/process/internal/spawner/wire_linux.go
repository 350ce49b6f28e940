package spawner

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Arg0 is the whole command line of a helper.
const Arg0 = "sled-spawner"

// socketFD is the socket's descriptor in a helper and in each process that it starts.
const socketFD = 3

// maxMessage bounds a message, in bytes.
const maxMessage = 4 << 20

// A Request describes a process to start. Its standard streams are /dev/null, its
// working directory is /, and it leads a session of its own.
type Request struct {
	Path string   `json:"path"`
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	// PIDNS makes it the first process of a PID namespace.
	PIDNS bool `json:"pid_namespace"`
}

// reply is the result of a start. PID is set if Errno is 0.
type reply struct {
	PID   int           `json:"pid"`
	Errno syscall.Errno `json:"errno"`
}

// send writes one message, with at most one file.
func send(conn *net.UnixConn, message any, file *os.File) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d are allowed", len(body), maxMessage)
	}
	var rights []byte
	if file != nil {
		rights = syscall.UnixRights(int(file.Fd()))
	}
	head := binary.NativeEndian.AppendUint32(nil, uint32(len(body)))
	if _, _, err := conn.WriteMsgUnix(head, rights, nil); err != nil {
		return err
	}
	_, err = conn.Write(body)
	return err
}

// receive reads one message, and the file that came with it, if any.
func receive(conn *net.UnixConn, message any) (*os.File, error) {
	head, rights := make([]byte, 4), make([]byte, syscall.CmsgSpace(4))
	n, nrights, _, _, err := conn.ReadMsgUnix(head, rights)
	if err != nil {
		return nil, err
	}
	file, err := fileOf(rights[:nrights])
	if err != nil {
		return nil, err
	}
	if _, err = io.ReadFull(conn, head[n:]); err == nil {
		err = receiveBody(conn, int(binary.NativeEndian.Uint32(head)), message)
	}
	if err != nil && file != nil {
		_ = file.Close()
		return nil, err
	}
	return file, err
}

func receiveBody(conn *net.UnixConn, size int, message any) error {
	if size > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d are allowed", size, maxMessage)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	return json.Unmarshal(body, message)
}

func fileOf(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, errors.New("want one control message")
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("want one descriptor: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), nil
}
