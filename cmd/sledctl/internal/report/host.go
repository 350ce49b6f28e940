package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// maxLog is how much of the end of a log is taken, in bytes.
const maxLog = 2 << 20

// A Host is this machine, as tests replace it.
type Host struct {
	// GOOS is that of the host.
	GOOS string
	// Run returns what a command prints.
	Run func(ctx context.Context, argv ...string) ([]byte, error)
}

// This returns this machine.
func This() Host { return Host{GOOS: runtime.GOOS, Run: run} }

// run returns what a command prints. It is ended with ctx; what it leaves behind holds up
// nobody.
func run(ctx context.Context, argv ...string) ([]byte, error) {
	out := &tail{most: maxLog}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	return out.kept, err
}

// A tail keeps the last bytes that were written to it.
type tail struct {
	kept []byte
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.most; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// A question is a command that describes a host, and the name of its file.
type question struct{ name, line string }

// questions are asked of every host, and further ones by its system.
var (
	questions = []question{{"system", "uname -a"}, {"uptime", "uptime"}, {"disks", "df -h"}}
	further   = map[string][]question{
		"linux": {{"release", "cat /etc/os-release"}, {"memory", "cat /proc/meminfo"}, {"addresses", "ip -brief address"},
			{"pressure", "cat /proc/pressure/cpu /proc/pressure/memory /proc/pressure/io"},
			{"service", "systemctl show --no-pager --property=ActiveState,SubState,Result,MainPID,NRestarts,ActiveEnterTimestamp,ExecMainStatus,StatusText,TasksCurrent,MemoryCurrent sled-agent.service"}},
		"illumos": {{"release", "cat /etc/release"}, {"zones", "zoneadm list -cp"}, {"links", "dladm show-link"},
			{"addresses", "ipadm show-addr"}, {"services", "svcs -x"}, {"service", "svcs -l sled-agent"}},
	}
)

// AddHost adds facts about the host, and the end of the agent's log.
func (r *Report) AddHost(ctx context.Context, h Host, stateDir string) {
	for _, q := range append(slices.Clip(questions), further[h.GOOS]...) {
		r.command(ctx, h, "host/"+q.name+".txt", "what "+q.line+" prints", strings.Fields(q.line))
	}
	bundles, err := within(ctx, func(context.Context) ([]byte, error) { return list(filepath.Join(stateDir, "bundles")) })
	r.add("bundles.txt", "the names of the zone bundles that are kept, their sizes and times", bundles, err)
	switch h.GOOS {
	case "linux":
		r.command(ctx, h, "log/journal.txt", "the end of the agent's log in the journal",
			[]string{"journalctl", "--unit=sled-agent.service", "--lines=5000", "--no-pager", "--output=short-iso-precise"})
	case "illumos":
		r.smfLog(ctx, h)
	}
	for _, name := range []string{"sled-agent.log.old", "sled-agent.log"} {
		r.logFile(ctx, "log/"+name, "log lines that standard error did not take", filepath.Join(stateDir, name), true)
	}
}

// command adds what a command prints.
func (r *Report) command(ctx context.Context, h Host, name, what string, argv []string) {
	text, err := within(ctx, func(ctx context.Context) ([]byte, error) { return h.Run(ctx, argv...) })
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	r.add(name, what, mask(text), err)
}

// smfLog adds the end of the log of the SMF service.
func (r *Report) smfLog(ctx context.Context, h Host) {
	const name, what = "log/smf.log", "the end of the agent's log of SMF"
	path, err := within(ctx, func(ctx context.Context) ([]byte, error) { return h.Run(ctx, "svcs", "-L", "sled-agent") })
	if err != nil {
		r.add(name, what, nil, fmt.Errorf("svcs -L sled-agent: %w", err))
		return
	}
	r.logFile(ctx, name, what, strings.TrimSpace(string(path)), false)
}

// logFile adds the end of a file. One that is absent is not missed if it is optional.
func (r *Report) logFile(ctx context.Context, name, what, path string, optional bool) {
	text, err := within(ctx, func(context.Context) ([]byte, error) { return endOf(path) })
	if optional && errors.Is(err, os.ErrNotExist) {
		return
	}
	r.add(name, what, mask(text), err)
}

// list returns the names of the files in a directory, with their sizes and times.
func list(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return []byte("none\n"), nil
	}
	var out bytes.Buffer
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it was deleted
			fmt.Fprintf(&out, "%s %12d %s\n", info.ModTime().UTC().Format(time.RFC3339), info.Size(), e.Name())
		}
	}
	return out.Bytes(), err
}

// endOf returns the end of a regular file.
func endOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Size() > maxLog:
		if _, err := f.Seek(-maxLog, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, maxLog))
}
