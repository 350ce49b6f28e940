package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/propolis/sim"
)

// waitLimit bounds waits that end soon unless something is broken.
const waitLimit = 30 * time.Second

var binary string

// TestMain builds the program, since the tests are about real processes.
func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "propolis-sim")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "propolis-sim")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A process is a running propolis-sim.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	base string
	log  chan line
	done chan struct{} // closed when the process has ended
}

// A line is the part of a log line that the tests use.
type line struct {
	Message, Listen, Escapee string
}

// launch starts propolis-sim run on a free port and waits until it serves.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: make(chan line, 100), done: make(chan struct{})}
	p.cmd = exec.Command(binary, append(append([]string{"run"}, args...), "127.0.0.1:0")...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(bufio.NewScanner(stderr))
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	p.base = "http://" + p.said("serving").Listen
	return p
}

// read reads the log until the process closes it, and waits for the process.
func (p *process) read(s *bufio.Scanner) {
	defer close(p.done)
	for s.Scan() {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			p.t.Errorf("log line %q: %v", s.Text(), err)
		}
		select {
		case p.log <- l:
		default: // no test needs older lines
		}
	}
	_ = p.cmd.Wait()
}

// said waits for a line of the log.
func (p *process) said(message string) line {
	p.t.Helper()
	timeout := time.After(waitLimit)
	for {
		select {
		case l := <-p.log:
			if l.Message == message {
				return l
			}
		case <-timeout:
			p.t.Fatalf("never logged %q", message)
		}
	}
}

// ended waits for the end of the process and returns its status as text.
func (p *process) ended() string {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.String()
	case <-time.After(waitLimit):
		p.t.Fatal("still running")
		return ""
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// send returns the status of the answer, or 0 if there was none within the budget.
func (p *process) send(budget time.Duration, method, path, body string) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), budget)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.base+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("api-version", "6.0.0")
	res, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

// client has no timeout of its own; contexts bound its requests.
var client = &http.Client{Transport: &http.Transport{}}

func (p *process) want(status int, method, path, body string) {
	p.t.Helper()
	if got := p.send(waitLimit, method, path, body); got != status {
		p.t.Errorf("%s %s: %d, want %d", method, path, got, status)
	}
}

// status returns the answer of GET /sim/state.
func (p *process) status() (s sim.Status) {
	p.t.Helper()
	res, err := client.Get(p.base + "/sim/state")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// calls returns how many calls of a kind have arrived.
func (p *process) calls(kind string) uint64 {
	p.t.Helper()
	return p.status().Calls[kind]
}

func TestSignalsEndIt(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := launch(t, "--mode", "hang-all")
		hung := make(chan int, 1)
		go func() { hung <- p.send(waitLimit, "GET", "/instance", "") }()
		for p.calls("get") == 0 {
			time.Sleep(time.Millisecond) // sleep: between two looks of a poll with a deadline
		}
		p.signal(sig)
		if how := p.ended(); how != "exit status 0" {
			t.Errorf("%s: %s", sig, how)
		}
		if status := <-hung; status != 0 {
			t.Errorf("%s: a call that hung got %d", sig, status)
		}
	}
}

func TestIgnoresTerm(t *testing.T) {
	t.Parallel()
	p := launch(t, "--mode", "ignore-term")
	p.signal(syscall.SIGTERM)
	p.said("SIGTERM ignored")
	p.want(424, "GET", "/instance", "")
	p.want(204, "PUT", "/sim/faults", "[]")
	p.signal(syscall.SIGTERM)
	if how := p.ended(); how != "exit status 0" {
		t.Errorf("without the fault: %s", how)
	}
}

func TestCrashes(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.want(204, "POST", "/sim/do/crash", "")
	if how := p.ended(); how != "signal: killed" {
		t.Errorf("crash: %s", how)
	}
	p = launch(t, "--mode", "crash-on-get")
	p.want(424, "GET", "/instance", "")
	if how := p.ended(); how != "signal: killed" {
		t.Errorf("crash-on-get: %s", how)
	}
}

func TestExitsByItself(t *testing.T) {
	t.Parallel()
	p := launch(t, "--mode", "exit-after=50ms,storm")
	if how := p.ended(); how != "exit status 1" {
		t.Errorf("exit-after: %s", how)
	}
}

// A frozen process accepts connections but does not answer, and can be resumed.
func TestFreezes(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.want(204, "POST", "/sim/do/freeze", "")
	p.said("stopping myself")
	for p.send(200*time.Millisecond, "GET", "/instance", "") != 0 {
		t.Log("not frozen yet")
	}
	p.signal(syscall.SIGCONT)
	p.want(424, "GET", "/instance", "")
}

// The escaped process has left its parent and its session, and outlives SIGTERM and
// the process that started it.
func TestEscapes(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.want(204, "PUT", "/sim/faults", `["escape=1m"]`)
	pid, err := strconv.Atoi(p.said("a process has escaped").Escapee)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatalf("escapee: %v", err)
	}
	alone(t, pid, p.cmd.Process.Pid)
	p.signal(syscall.SIGKILL)
	p.ended()
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("escapee after SIGTERM and its maker's death: %v", err)
	}
}

// alone checks in Linux's procfs, where there is one, that a process is not a child of
// maker and leads its session.
func alone(t *testing.T, pid, maker int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if runtime.GOOS != "linux" {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	// After the name in parentheses: state, parent, process group, session.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if fields[0] == "Z" || fields[1] == strconv.Itoa(maker) || fields[3] != strconv.Itoa(pid) {
		t.Errorf("escapee %d of %d: %q", pid, maker, fields[:4])
	}
}

const spec = `{"properties":{"id":"4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e","name":"n","description":"d","metadata":{` +
	`"silo_id":"001de000-5110-4000-8000-000000000000","project_id":"1f2f0f7c-9d2e-4c55-a3d6-6f3c7a1b9b11",` +
	`"sled_id":"b886b58a-1e3f-4be1-b9f2-0c2e66c6bc88","sled_serial":"S","sled_revision":1,"sled_model":"M"}},` +
	`"init":{"method":"Spec","value":{"spec":{"board":{"chipset":{"type":"i440_fx","value":{"enable_pcie":false}},` +
	`"cpus":1,"memory_mb":512},"components":{}}}}}`

// A VM goes through its whole lifecycle with the default times.
func TestWholeLifecycle(t *testing.T) {
	t.Parallel()
	p := launch(t)
	p.want(201, "PUT", "/instance", spec)
	p.want(204, "PUT", "/instance/state", `"Run"`)
	p.want(200, "GET", "/instance/state-monitor", `{"gen":3}`)
	p.want(204, "PUT", "/instance/state", `"Stop"`)
	p.want(200, "GET", "/instance/state-monitor", `{"gen":6}`)
	p.want(424, "PUT", "/instance/state", `"Stop"`)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	taken := launch(t)
	for name, tc := range map[string]struct {
		args   []string
		status int
		stderr string
	}{
		"no address":      {[]string{"run"}, 2, "want one ADDR:PORT, got 0 arguments"},
		"no port":         {[]string{"run", "127.0.0.1"}, 2, `address "127.0.0.1": want ADDR:PORT`},
		"no such port":    {[]string{"run", "127.0.0.1:70000"}, 2, `port "70000" is not a number`},
		"no such mode":    {[]string{"run", "--mode", "nap", "127.0.0.1:0"}, 2, `mode "nap": no such mode`},
		"no such flag":    {[]string{"run", "--nap", "127.0.0.1:0"}, 2, "unknown flag: --nap"},
		"no such command": {[]string{"nap"}, 2, `unknown command "nap" for "propolis-sim"`},
		"no such version": {[]string{"run", "--api-version", "6", "127.0.0.1:0"}, 2, `version "6"`},
		"address taken": {[]string{"run", strings.TrimPrefix(taken.base, "http://")}, 1,
			"listen tcp " + strings.TrimPrefix(taken.base, "http://")},
	} {
		var stderr bytes.Buffer
		cmd := exec.Command(binary, tc.args...)
		cmd.Stderr = &stderr
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != tc.status || !strings.Contains(stderr.String(), tc.stderr) {
			t.Errorf("%s: exit status %d and %q, want %d and %q", name, got, stderr.String(), tc.status, tc.stderr)
		}
		if lines := strings.Count(stderr.String(), "\n"); tc.status == 1 && lines != 1 {
			t.Errorf("%s: %d lines on standard error", name, lines)
		}
	}
}

// The help and "modes" describe every mode and action.
func TestHelp(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "modes").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range sim.Modes() {
		if !strings.Contains(string(out), m.Name+m.Value+" ") || !strings.Contains(string(out), m.Does) {
			t.Errorf("propolis-sim modes does not explain %s", m.Name)
		}
	}
	for _, a := range sim.Actions() {
		if !strings.Contains(string(out), a.Name+" ") {
			t.Errorf("propolis-sim modes does not list %s", a.Name)
		}
	}
	help, err := exec.Command(binary, "run", "--help").Output()
	if err != nil || !strings.Contains(string(help), "Examples:") || !strings.Contains(string(help), "/sim/faults") {
		t.Errorf("propolis-sim run --help: %v\n%s", err, help)
	}
}
