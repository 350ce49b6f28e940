package qemu

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
)

// streamName is QEMU's name of the socket for a migration's stream.
const streamName = "migration"

// streamRate is the most that QEMU may send, in bytes per second. Its default is for networks that
// others use as well.
const streamRate = 8 << 30

// settings that QEMU needs on both sides of a migration. The target must not touch the disks until
// its guest runs (late-block-activate). A guest that changes its memory faster than it is sent is
// slowed down (auto-converge).
func migrationSettings() []qmpCommand {
	var on []map[string]any
	for _, name := range []string{"events", "auto-converge", "late-block-activate"} {
		on = append(on, map[string]any{"capability": name, "state": true})
	}
	return []qmpCommand{
		{name: "migrate-set-capabilities", arguments: map[string]any{"capabilities": on}},
		{name: "migrate-set-parameters", arguments: map[string]any{"max-bandwidth": int64(streamRate)}},
	}
}

// openStream gives QEMU one end of a socket and returns the other: nobody else can connect.
func openStream(ctx context.Context, q *qmpClient) (net.Conn, error) {
	for _, c := range migrationSettings() {
		if _, err := q.ask(ctx, commandBudget, c); err != nil {
			return nil, err
		}
	}
	here, there, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer there.Close()
	_, err = q.ask(ctx, commandBudget, qmpCommand{name: "getfd", arguments: map[string]any{"fdname": streamName}, file: there})
	if err != nil {
		here.Close()
		return nil, err
	}
	return here, nil
}

// migrate starts one side of QEMU's migration: "migrate" or "migrate-incoming".
func migrate(ctx context.Context, q *qmpClient, command string) error {
	return q.do(ctx, commandBudget, command, map[string]any{"uri": "fd:" + streamName})
}

// statusOf returns the status that a query of QEMU answers; empty if it has none.
func statusOf(ctx context.Context, q *qmpClient, query string) (string, error) {
	answer, err := q.ask(ctx, commandBudget, qmpCommand{name: query})
	if err != nil {
		return "", err
	}
	var s struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(answer, &s); err != nil {
		return "", fmt.Errorf("QEMU's answer to %s: %w", query, err)
	}
	return s.Status, nil
}

// awaitStatus waits until a query of QEMU answers a status that will do.
func awaitStatus(ctx context.Context, q *qmpClient, query string, will ...string) error {
	for {
		status, err := statusOf(ctx, q, query)
		if err != nil || slices.Contains(will, status) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("QEMU's %s is still %q: %w", query, status, ctx.Err())
		}
	}
}

// movable returns an error if QEMU cannot migrate a VM with this spec.
func movable(text json.RawMessage) error {
	var s spec
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Components)) {
		switch c := s.Components[name]; {
		case c.Type == "nvme_disk":
			return fmt.Errorf("component %q: QEMU does not migrate NVMe disks", name)
		case c.Type == "blob_storage_backend" && !c.Component.ReadOnly:
			return fmt.Errorf("component %q: a blob that the guest may write does not migrate", name)
		}
	}
	return nil
}

// bootFile has another content each time a machine boots, and on every machine.
const bootFile = "/proc/sys/kernel/random/boot_id"

// fileIDs identify the files of disks, of which files are the open ones. On another machine the same
// numbers are those of other files. Blobs are not shared.
func fileIDs(disks map[string]disk, files []*os.File) (map[string]string, error) {
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		return nil, fmt.Errorf("identify this machine: %w", err)
	}
	ids := map[string]string{}
	for name, d := range disks {
		if d.content != nil {
			continue
		}
		f, err := files[d.fd-firstFD].Stat()
		if err != nil {
			return nil, fmt.Errorf("component %q: %w", name, err)
		}
		s, ok := f.Sys().(*syscall.Stat_t)
		if !ok {
			return nil, fmt.Errorf("component %q: %s has no number", name, d.path)
		}
		ids[name] = fmt.Sprintf("device %d inode %d of machine %s", s.Dev, s.Ino, bytes.TrimSpace(boot))
	}
	return ids, nil
}

// sameFiles returns an error unless all disks here are the source's: they are not copied.
func sameFiles(here, source map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(here)) {
		if here[name] != source[name] {
			return fmt.Errorf("component %q: its file is %s, and %s at the source", name, here[name], cmp.Or(source[name], "none"))
		}
	}
	return nil
}

// notify tells the goroutine of a migration what has happened to QEMU. There are fewer things than
// have room.
func notify(events chan<- string, what string) {
	select {
	case events <- what:
	default:
	}
}

// maxEvents is more than a migration of QEMU has.
const maxEvents = 32

// errGuestOff: the guest has powered itself off during the migration.
var errGuestOff = errors.New("the guest has powered off")

// migrationEvent handles an event of QEMU during a migration.
func (m *machine) migrationEvent(e qmpEvent) {
	what := map[string]string{"MIGRATION": e.Data.Status, "STOP": string(paused)}[e.Name]
	switch {
	case m.departure != nil:
		notify(m.departure.events, what)
	case m.arrival != nil && e.Name == "MIGRATION":
		notify(m.arrival.events, what)
	}
}

// moves reports whether a migration goes on.
func (m *machine) moves() bool { return m.doing == leaving || m.doing == arriving }

var _ server.Migrator = (*machine)(nil)
