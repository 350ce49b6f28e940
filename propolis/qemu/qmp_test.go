package qemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// talk starts a client and returns QEMU's end of its connection.
func talk(t *testing.T, on func(qmpEvent)) (*qmpClient, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { there.Close() })
	return newQMP(here, on), there
}

func TestCommands(t *testing.T) {
	t.Parallel()
	events := make(chan qmpEvent, 1)
	q, qemu := talk(t, func(e qmpEvent) { events <- e })
	go func() {
		fmt.Fprintln(qemu, `{"QMP": {"version": {}}}`)
		in := bufio.NewReader(qemu)
		_, _ = in.ReadString('\n')
		fmt.Fprintln(qemu, `{"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}`)
		fmt.Fprintln(qemu, `{"return": {}, "id": 1}`)
		line, _ := in.ReadString('\n')
		fmt.Fprintln(qemu, `{"error": {"class": "GenericError", "desc": "no such thing"}, "id": 2}`)
		if want := `{"execute":"device_del","arguments":{"id":"x"},"id":2}` + "\n"; line != want {
			t.Errorf("QEMU got %q, want %q", line, want)
		}
	}()
	if err := q.do(t.Context(), time.Minute, "cont", nil); err != nil {
		t.Error(err)
	}
	if e := <-events; e.Name != "RESET" || !e.Data.Guest || e.Data.Reason != "guest-reset" {
		t.Errorf("got %+v", e)
	}
	err := q.do(t.Context(), time.Minute, "device_del", map[string]string{"id": "x"})
	if err == nil || err.Error() != "QEMU's device_del: GenericError: no such thing" {
		t.Errorf("got %v", err)
	}
}

// A QEMU that does not answer, or does not even read, costs a command its budget and nothing else.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, qemu := talk(t, nil)
		go func() {
			in := bufio.NewReader(qemu)
			_, _ = in.ReadString('\n') // and no answer
			_, _ = in.ReadString('\n')
			fmt.Fprintln(qemu, `{"return": {}, "id": 1}`+"\n"+`{"return": {}, "id": 2}`)
		}()
		if err := q.do(t.Context(), time.Second, "stop", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := q.do(t.Context(), time.Second, "cont", nil); err != nil {
			t.Errorf("after a late answer: %v", err)
		}
		if err := q.do(t.Context(), time.Second, "quit", nil); err == nil {
			t.Error("a command that nobody reads has succeeded")
		}
		if len(q.pending) > 0 {
			t.Errorf("%d commands are pending", len(q.pending))
		}
		<-q.done // Half a line may have been written.
	})
}

// What is not QMP ends the connection, and every command with it.
func TestNoQMP(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no JSON": "hello\n", "an endless line": strings.Repeat(" ", maxLine+1), "an end": ""} {
		q, qemu := talk(t, nil)
		go func() {
			_, _ = bufio.NewReader(qemu).ReadString('\n')
			_, _ = io.WriteString(qemu, text)
			qemu.Close()
		}()
		if err := q.do(t.Context(), time.Minute, "cont", nil); !errors.Is(err, errQMPClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
