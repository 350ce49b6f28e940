package zoneinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// diskTime is how long the init waits for a disk that makes no progress: once for the
// exit record and once for the last output of the server.
const diskTime = time.Second

// Exit statuses of the init, for people who see them in a log.
const (
	exitServed   = 0
	exitOrphaned = 3
	exitNoStart  = 4
)

// Run runs the init. It returns the exit status.
func Run(zoneDir string) int {
	syscall.CloseOnExec(socketFD)
	if runtime.GOOS != "linux" { // there the helper that starts inits has closed them
		proc.CloseInherited(socketFD)
	}
	proc.OutliveSignals()
	conn := os.NewFile(socketFD, "agent")
	if conn == nil {
		return exitOrphaned
	}
	var job Job
	if err := receive(conn, &job); err != nil || len(job.Argv) == 0 {
		return exitOrphaned
	}
	z, err := begin(zoneDir, job)
	var reply Reply
	if err != nil {
		reply = Reply{Error: err.Error(), Short: zone.IsShortage(err)}
	}
	// If the agent has died meanwhile, the zone is recorded and continues to run.
	_ = json.NewEncoder(conn).Encode(reply)
	_ = conn.Close()
	if err != nil {
		return exitNoStart
	}
	z.serve()
	return exitServed
}

// A running is an init with its server started.
type running struct {
	root   *os.Root
	server int
	pidns  bool
	log    *pump
}

func begin(zoneDir string, job Job) (*running, error) {
	if err := proc.Subreaper(); err != nil {
		return nil, fmt.Errorf("adopt orphans: %w", err)
	}
	root, err := os.OpenRoot(zoneDir)
	if err != nil {
		return nil, fmt.Errorf("open zone: %w", err)
	}
	log, err := zonedir.OpenLog(root, job.LogMax)
	if err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make log pipe: %w", err)
	}
	defer in.Close()
	pid, err := spawn(zoneDir, job, in)
	if err != nil {
		return nil, err
	}
	if !job.Counted {
		limitTasks(pid)
	}
	return &running{root, pid, job.PIDNS, startPump(out, log)}, nil
}

func spawn(zoneDir string, job Job, out *os.File) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, fmt.Errorf("open server's input: %w", err)
	}
	defer null.Close()
	fd := out.Fd()
	pid, err := syscall.ForkExec(job.Argv[0], job.Argv, &syscall.ProcAttr{
		Dir:   zoneDir + "/" + zonedir.RootDir,
		Env:   job.Env,
		Files: []uintptr{null.Fd(), fd, fd},
		Sys:   sysProcAttr(),
	})
	if err != nil {
		return 0, fmt.Errorf("start server %s: %w", job.Argv[0], err)
	}
	return pid, nil
}

// serve reaps processes until the server has ended, then ends the rest.
func (z *running) serve() {
	var ws syscall.WaitStatus
	for {
		pid, err := wait(&ws, 0)
		if err != nil || pid == z.server {
			break
		}
	}
	select {
	case <-z.record(proc.How(ws)):
	case <-time.After(diskTime):
	}
	z.endRest()
	z.log.drain(diskTime)
}

// record records how the server ended. It is best effort: without the record the end
// is still noticed, but not its reason.
func (z *running) record(how string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = zonedir.Write(z.root, zonedir.ExitFile, zonedir.Exit{How: how, At: time.Now()})
	}()
	return done
}

// killPause is the pause after a failed kill.
const killPause = 10 * time.Millisecond

// endRest kills and reaps the processes that the server left behind. Each round waits
// for the end of one process, after which orphans may become children of this process.
// It is done when there are no children.
func (z *running) endRest() {
	for {
		options := 0
		if err := z.killRest(); err != nil {
			options = syscall.WNOHANG
			time.Sleep(killPause)
		}
		var ws syscall.WaitStatus
		if _, err := wait(&ws, options); err != nil {
			return
		}
	}
}

func (z *running) killRest() error {
	if z.pidns {
		// -1 means all processes but the caller: in a PID namespace, the zone's. The
		// only error is that there are none.
		_ = syscall.Kill(-1, syscall.SIGKILL)
		return nil
	}
	self, err := proc.Stat(os.Getpid())
	if err != nil {
		return err
	}
	return proc.KillTree(self.ID, nil)
}

func wait(ws *syscall.WaitStatus, options int) (int, error) {
	for {
		pid, err := syscall.Wait4(-1, ws, options, nil)
		if !errors.Is(err, syscall.EINTR) {
			return pid, err
		}
	}
}
