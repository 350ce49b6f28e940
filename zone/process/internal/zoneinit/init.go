package zoneinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// drainTime bounds how long the init stays to read what the server had written
// before it ended. All writers are dead by then, so it takes next to nothing.
const drainTime = time.Second

// Exit statuses of the init, for people who see them in a log.
const (
	exitServed   = 0
	exitOrphaned = 3
	exitNoStart  = 4
)

// Run is the init's life. It returns the status to exit with.
func Run(zoneDir string) int {
	syscall.CloseOnExec(socketFD)
	closeInherited()
	runtime.GOMAXPROCS(1)
	outliveSignals()
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
		reply.Error = err.Error()
	}
	// The agent may have died since; the zone is on record and goes on.
	_ = json.NewEncoder(conn).Encode(reply)
	_ = conn.Close()
	if err != nil {
		return exitNoStart
	}
	z.serve()
	return exitServed
}

// outliveSignals keeps signals of the zone's own processes from ending the
// init. They are caught and dropped rather than ignored, because what is
// ignored stays so in the server that is started from here.
func outliveSignals() {
	signal.Notify(make(chan os.Signal, 1))
}

// closeInherited closes what came over exec beside the standard streams and the
// socket. Descriptors of the agent's own are marked close-on-exec; these are
// such as a shell or a service manager left open in the agent, and whoever
// waits for their end must not wait for the zone's.
func closeInherited() {
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		var fd int
		if _, err := fmt.Sscan(name, &fd); err != nil || fd <= socketFD {
			continue
		}
		if !closesOnExec(fd) {
			_ = syscall.Close(fd)
		}
	}
}

// A running is an init with its server started.
type running struct {
	root   *os.Root
	server int
	pidns  bool
	out    *os.File
	log    *zonedir.Log
	pumped chan struct{}
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
	pid, err := spawn(zoneDir, job.Argv, in)
	if err != nil {
		return nil, err
	}
	z := &running{root, pid, job.PIDNS, out, log, make(chan struct{})}
	go z.pump()
	return z, nil
}

func spawn(zoneDir string, argv []string, out *os.File) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, fmt.Errorf("open server's input: %w", err)
	}
	defer null.Close()
	fd := out.Fd()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir:   zoneDir + "/" + zonedir.RootDir,
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), fd, fd},
		Sys:   sysProcAttr(),
	})
	if err != nil {
		return 0, fmt.Errorf("start server %s: %w", argv[0], err)
	}
	return pid, nil
}

// pump moves the server's output to its log. It never lets the server wait for
// the disk's sake: what cannot be written is dropped.
func (z *running) pump() {
	defer close(z.pumped)
	buf := make([]byte, 32<<10)
	for {
		n, err := z.out.Read(buf)
		_, _ = z.log.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// serve reaps until the server has ended, then ends the rest.
func (z *running) serve() {
	var ws syscall.WaitStatus
	for {
		pid, err := wait(&ws)
		if err != nil || pid == z.server {
			break
		}
	}
	// Best effort: without the record the end is still seen, only not why.
	_ = zonedir.Write(z.root, zonedir.ExitFile, zonedir.Exit{How: proc.How(ws), At: time.Now()})
	z.endRest()
	select {
	case <-z.pumped:
	case <-time.After(drainTime):
	}
	_ = z.log.Close()
}

// endRest kills and reaps whatever the server left behind. Each round ends
// with somebody's death, after which an orphan may newly be a child of this
// process, so it is over when there are no children.
func (z *running) endRest() {
	for {
		if err := z.killRest(); err != nil {
			return
		}
		var ws syscall.WaitStatus
		if _, err := wait(&ws); err != nil {
			return
		}
	}
}

func (z *running) killRest() error {
	if z.pidns {
		// Everybody but the caller: in a PID namespace that is the zone. That
		// there is nobody is no error.
		_ = syscall.Kill(-1, syscall.SIGKILL)
		return nil
	}
	self, err := proc.Stat(os.Getpid())
	if err != nil {
		return err
	}
	return proc.KillTree(self.ID, nil)
}

func wait(ws *syscall.WaitStatus) (int, error) {
	for {
		pid, err := syscall.Wait4(-1, ws, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			return pid, err
		}
	}
}
