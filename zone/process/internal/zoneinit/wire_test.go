package zoneinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// The reply carries that the host is short of resources.
func TestReplyOfAShortHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		short bool
	}{
		{fmt.Errorf("start server: %w", syscall.EAGAIN), true},
		{syscall.ENOMEM, true},
		{syscall.EMFILE, true},
		{syscall.ENFILE, true},
		{syscall.ENOENT, false},
		{syscall.EACCES, false},
	} {
		ours, theirs := net.Pipe()
		go func() {
			var job Job
			_ = receive(theirs, &job)
			_ = json.NewEncoder(theirs).Encode(Reply{Error: c.err.Error(), Short: zone.IsShortage(c.err)})
			_ = theirs.Close()
		}()
		if err := Start(ours, Job{}); err == nil || errors.Is(err, zone.ErrBusy) != c.short {
			t.Errorf("%v: got %v", c.err, err)
		}
		_ = ours.Close()
	}
}
