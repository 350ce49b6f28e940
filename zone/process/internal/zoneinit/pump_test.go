package zoneinit

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// stuckDisk blocks writes until it is freed.
type stuckDisk struct {
	free chan struct{}
	log  bytes.Buffer
}

func (d *stuckDisk) Write(data []byte) (int, error) {
	<-d.free
	return d.log.Write(data)
}

// A server's output never blocks while the disk does not answer, and the log notes how
// much is missing.
func TestPumpNeverWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	out, in := io.Pipe() // without a buffer of its own
	disk := &stuckDisk{free: make(chan struct{})}
	p := startPump(out, disk)
	const each, lines = 64 << 10, 100
	for i := range lines {
		line := fmt.Sprintf("%06d", i) + strings.Repeat(".", each-7) + "\n"
		if _, err := io.WriteString(in, line); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	close(disk.free)
	<-p.done
	log := disk.log.String()
	if len(log) < maxBuffered/2 || len(log) > 3*maxBuffered {
		t.Errorf("%d bytes of %d are in the log", len(log), each*lines)
	}
	var dropped int
	_, note, _ := strings.Cut(log, "\n[")
	if _, err := fmt.Sscanf(note, "%d bytes of output were dropped", &dropped); err != nil || dropped < each*lines-3*maxBuffered {
		t.Errorf("the log notes that %d bytes are missing, %v", dropped, err)
	}
	if !strings.HasPrefix(log, "000000...") {
		t.Errorf("the log begins with %.20q", log)
	}
}

func TestPumpKeepsTheOrder(t *testing.T) {
	t.Parallel()
	out, in := io.Pipe()
	var log bytes.Buffer
	p := startPump(out, &log)
	var want strings.Builder
	for i := range 2000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		if _, err := io.WriteString(in, line); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	<-p.done
	if log.String() != want.String() {
		t.Errorf("%d bytes of %d are in the log", log.Len(), want.Len())
	}
}
