package standin

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startInit starts the zone's init: from then on the zone is running.
func (d *zoneadmd) startInit() {
	d.Locked(func() {
		z, ok := d.Zones.Get(d.zone)
		if !ok || d.closing() {
			return
		}
		cmd := exec.Command(d.program, "zoneinit", d.zone)
		cmd.Env = d.marker(d.zone)
		cmd.Dir = "/"
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(cmd.Start())
		z.State, z.InitPID, z.Repository, z.Services = Running, cmd.Process.Pid, false, nil
		d.Zones.put(d.zone, z)
		d.init.Store(int64(z.InitPID))
		check(cmd.Process.Release())
	})
}

func (d *zoneadmd) restartInit(old int) {
	d.busy.Lock()
	defer d.busy.Unlock()
	if d.init.Load() == int64(old) && d.state() == Running {
		d.startInit()
	}
}

// stopInit asks init to stop the services and end, and tells whether it did in time.
func (d *zoneadmd) stopInit(limit time.Duration) bool {
	init := int(d.init.Swap(0))
	if init == 0 {
		return true
	}
	_ = syscall.Kill(init, syscall.SIGTERM)
	deadline := time.Now().Add(limit)
	d.until(func() bool {
		reapOrphans()
		return !alive(init) || time.Now().After(deadline)
	})
	if alive(init) {
		d.init.Store(int64(init))
		return false
	}
	return true
}

// reapOrphans takes note of children that ended.
func reapOrphans() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}

// A zoneinit is a zone's init, svc.startd and svc.configd in one. It keeps the
// zone's server running.
type zoneinit struct {
	*host
	zone string
	uniq uint64
	// requests is signalled when svcadm asks for something, terminate at a
	// clean shutdown.
	requests, terminate chan os.Signal
	// server is nil when there is none; exited tells of its end.
	server *exec.Cmd
	exited chan *exec.Cmd
	// failures counts the server's exits.
	failures int
}

// zoneinit is the main function of a zone's init.
func (h *host) zoneinit(zone string) int {
	i := &zoneinit{host: h, zone: zone, exited: make(chan *exec.Cmd, 1),
		requests: make(chan os.Signal, 1), terminate: make(chan os.Signal, 1)}
	signal.Notify(i.requests, syscall.SIGUSR1)
	signal.Notify(i.terminate, syscall.SIGTERM)
	// The zone's file is not written before init has started; see startInit.
	h.Locked(func() {
		if z, ok := h.Zones.Get(zone); ok {
			i.uniq = z.UniqID
		}
	})
	o := h.Options()
	time.Sleep(o.RepositoryTime)
	i.update(func(z *Zone) {
		z.Repository = true
		z.Services = map[string]Service{singleUser: settled("online", ""),
			o.Service: {State: "offline", Next: "online", Since: time.Now()}}
	})
	time.Sleep(o.OnlineTime)
	i.start()
	return i.run()
}

func (i *zoneinit) run() int {
	for {
		select {
		case <-i.requests:
			i.work()
		case server := <-i.exited:
			i.ended(server)
		case <-i.terminate:
			i.stop()
			return 0
		}
	}
}

// update changes the zone. It ends the process if this is not its init.
func (i *zoneinit) update(change func(*Zone)) {
	ours := false
	i.Change(i.zone, func(z *Zone) {
		if ours = z.UniqID == i.uniq && z.InitPID == os.Getpid(); ours {
			change(z)
		}
	})
	if !ours {
		os.Exit(0)
	}
}

func settled(state, reason string) Service {
	return Service{State: state, Next: "-", Reason: reason, Since: time.Now()}
}

// set changes the state of the server's service.
func (i *zoneinit) set(s Service) {
	fmri := i.Options().Service
	i.update(func(z *Zone) {
		z.Services[fmri] = s
		z.ServerPID = 0
		if i.server != nil {
			z.ServerPID = i.server.Process.Pid
		}
	})
}

// start runs the service's start method.
func (i *zoneinit) start() {
	i.set(Service{State: "offline", Next: "online", Since: time.Now()})
	i.hold(Offline, func(f *Fault) bool { return f.Object == "" || f.Object == i.zone })
	if f := i.suffers(Maintenance, i.zone); f != nil {
		reason := f.Text
		if reason == "" {
			reason = "Start method failed repeatedly, last exited with status 1."
		}
		i.set(settled("maintenance", reason))
		return
	}
	argv, refused := i.method()
	if refused.State != "" {
		i.log("%s", refused.Reason)
		i.set(refused)
		return
	}
	if err := i.launch(argv); err != nil {
		i.log("%v", err)
		i.set(settled("maintenance", "Start method failed repeatedly, last exited with status 1."))
		return
	}
	i.set(settled("online", ""))
}

func (i *zoneinit) launch(argv []string) error {
	log, err := os.OpenFile(i.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(i.marker(i.zone), "SMF_FMRI="+i.Options().Service, "SMF_METHOD=start", "SMF_ZONENAME="+i.zone)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	i.server = cmd
	check(os.WriteFile(i.VM(i.zone), nil, 0o600))
	go func() {
		_ = cmd.Wait()
		i.exited <- cmd
	}()
	return nil
}

// ended restarts a server that ended, as the contract model does: it begins
// anew, with no VM.
func (i *zoneinit) ended(server *exec.Cmd) {
	if server != i.server {
		return
	}
	i.server = nil
	i.failures++
	i.log("Stopping because all processes in service exited.")
	if i.failures > i.Options().Restarts {
		i.set(settled("maintenance", "Restarting too quickly."))
		return
	}
	time.Sleep(10 * time.Millisecond)
	i.start()
}

// stop asks the server to end and waits for as long as that takes.
func (i *zoneinit) stop() {
	if i.server == nil {
		return
	}
	_ = i.server.Process.Signal(syscall.SIGTERM)
	<-i.exited
	i.server = nil
}

func (i *zoneinit) log(format string, args ...any) {
	f, err := os.OpenFile(i.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return // the zone has no such directory
	}
	defer f.Close()
	fmt.Fprintf(f, "[ %s %s ]\n", time.Now().Format("Jan _2 15:04:05"), fmt.Sprintf(format, args...))
}

func (i *zoneinit) logFile() string {
	return filepath.Join(i.root(i.zone), serviceLog(i.Options().Service))
}

// root is a zone's root directory.
func (s *Store) root(zone string) string {
	if z, ok := s.Zones.Get(zone); ok {
		return filepath.Join(z.Config.Zonepath, "root")
	}
	return ""
}
