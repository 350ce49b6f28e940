package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
)

var errProcArgs = errors.New("read process arguments: malformed kern.procargs2")

// ParseProcArgs parses macOS's kern.procargs2: the number of arguments, the program's
// path, zeros for alignment, the arguments, the environment.
func ParseProcArgs(data []byte) (args, env []string, err error) {
	if len(data) < 4 {
		return nil, nil, errProcArgs
	}
	count := int(binary.NativeEndian.Uint32(data))
	_, rest, ok := bytes.Cut(data[4:], []byte{0})
	if !ok {
		return nil, nil, errProcArgs
	}
	rest = bytes.TrimLeft(rest, "\x00")
	for len(rest) > 0 {
		var s []byte
		s, rest, _ = bytes.Cut(rest, []byte{0})
		if len(args) < count {
			args = append(args, string(s))
		} else if len(s) > 0 {
			env = append(env, string(s))
		}
	}
	if len(args) < count {
		return nil, nil, errProcArgs
	}
	return args, env, nil
}
