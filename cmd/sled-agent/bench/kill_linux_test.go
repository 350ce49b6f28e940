package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process"
)

// BenchmarkKill stops VMMs whose Propolis ignores the stop, all with the same deadline. Their
// zones are processes. Of the last VMM of a round it reports how long after the deadline its
// kill was sent, its last process was gone, and its end was acknowledged by Nexus, when
// nothing is left of its zone.
//
// The floor kills the same zones, made by the same backend, without an agent: a loop sends
// the kills through pidfds that it has opened before, waits for each process, removes each
// zone's control groups and directory, and sends one bare PUT for each.
func BenchmarkKill(b *testing.B) {
	for _, n := range []int{1, 50, 200, 1000} {
		b.Run(fmt.Sprintf("vmms=%d", n), func(b *testing.B) {
			if n > 200 && testing.Short() {
				b.Skip("a thousand VMMs")
			}
			nexus := startMode[string](b, nexusMode, "")
			ours, floor := new(steps), new(steps)
			for b.Loop() {
				for range rounds {
					r := newHarness(b, options{zones: openProcess(b), nexus: []string{nexus}})
					ours.add(r.killAll(n))
					r.close()
					floor.add(killZones(b, n, nexus))
				}
			}
			all := map[string]float64{"max-ms": ms(ours.acked.max())}
			for name, of := range map[string]func(*steps) sample{
				"sent": func(s *steps) sample { return s.sent }, "gone": func(s *steps) sample { return s.gone },
				"acked": func(s *steps) sample { return s.acked },
			} {
				all[name+"-ms"], all[name+"-floor-ms"] = ms(of(ours).median()), ms(of(floor).median())
				all[name+"-x"] = all[name+"-ms"] / all[name+"-floor-ms"]
			}
			metrics(b, all)
		})
	}
}

// steps are how long after a deadline everything of a round was killed, gone, and
// acknowledged, by round.
type steps struct{ sent, gone, acked sample }

func (s *steps) add(sent, gone, acked time.Duration) {
	s.sent, s.gone, s.acked = append(s.sent, sent), append(s.gone, gone), append(s.acked, acked)
}

// killAll runs VMMs and has their deadlines pass.
func (r *harness) killAll(n int) (sent, gone, acked time.Duration) {
	r.b.Helper()
	vms := r.startInMemory(n)
	pids := make([]int, n)
	for i, v := range vms {
		info, err := r.kills.Look(r.b.Context(), v.zone())
		if err != nil || info.PID == 0 {
			r.b.Fatal(info, err)
		}
		pids[i] = info.PID
	}
	ended := watchEnds(r.b, pids)
	acks := r.acks.await(n)
	due := time.Now().Add(200*time.Millisecond + time.Duration(n)*2*time.Millisecond)
	r.stopAll(vms, due)
	if time.Now().After(due) {
		r.b.Fatal("machine is too slow: the stops were not accepted before their deadline")
	}
	lastAck := receive(r.b, acks, "all ends to be acknowledged")
	lastEnd := receive(r.b, ended, "all processes to end")
	var lastKill time.Time
	for _, v := range vms {
		at, ok := r.kills.sent(v.zone())
		if !ok {
			r.b.Fatal("a zone was not killed")
		}
		lastKill = later(lastKill, at)
	}
	r.forget(vms)
	return lastKill.Sub(due), lastEnd.Sub(due), lastAck.Sub(due)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func receive(b testing.TB, c <-chan time.Time, what string) time.Time {
	b.Helper()
	select {
	case at := <-c:
		return at
	case <-time.After(waitLimit):
		b.Fatal("waited too long for ", what)
		return time.Time{}
	}
}

// watchEnds yields when the last of the processes has ended.
func watchEnds(b testing.TB, pids []int) <-chan time.Time {
	b.Helper()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	fds := openAll(b, pids)
	for _, fd := range fds {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}); err != nil {
			b.Fatal(err)
		}
	}
	last := make(chan time.Time, 1)
	go func() {
		defer closeAll(append(fds, epoll))
		events := make([]unix.EpollEvent, len(fds))
		for left := len(fds); left > 0; {
			n, err := unix.EpollWait(epoll, events, -1)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
			left -= max(n, 0)
		}
		last <- time.Now()
	}()
	return last
}

// openAll opens a pidfd of each process.
func openAll(b testing.TB, pids []int) []int {
	b.Helper()
	fds := make([]int, len(pids))
	for i, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			b.Fatal(err)
		}
		fds[i] = fd
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// A bareZone is a zone of the process backend that no manager watches.
type bareZone struct {
	pid    int
	dir    string
	groups []string
}

// bareZones boots zones as an agent does. They are children of this process.
func bareZones(b testing.TB, n int) []bareZone {
	b.Helper()
	dir := b.TempDir()
	m := openProcessIn(b, dir)
	zones := make([]bareZone, n)
	var all errgroup.Group
	all.SetLimit(8)
	for i := range zones {
		all.Go(func() (err error) {
			zones[i], err = bareStart(b, m, dir)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
	if err := m.Close(); err != nil {
		b.Fatal(err)
	}
	return zones
}

func bareStart(b testing.TB, m *process.Manager, dir string) (z bareZone, err error) {
	name := prefix + uuid.NewString()
	if _, err := m.Create(b.Context(), zone.Spec{Name: name}); err != nil {
		return z, err
	}
	if err := m.Boot(b.Context(), name); err != nil {
		return z, err
	}
	var boot struct {
		Init          struct{ PID int }
		Cgroup, Tasks string
	}
	z.dir = filepath.Join(dir, name)
	data, err := os.ReadFile(filepath.Join(z.dir, "boot.json"))
	if err == nil {
		err = json.Unmarshal(data, &boot)
	}
	z.pid = boot.Init.PID
	for _, group := range []string{boot.Cgroup, boot.Tasks} {
		if group != "" {
			z.groups = append(z.groups, group)
		}
	}
	return z, err
}

// killZones is the floor of killAll.
func killZones(b testing.TB, n int, nexus string) (sent, gone, acked time.Duration) {
	b.Helper()
	zones := bareZones(b, n)
	put := barePutTo(b, nexus)
	put()
	fds := make([]int, n)
	for i, z := range zones {
		fds[i] = z.pid
	}
	fds = openAll(b, fds)
	defer closeAll(fds)
	due := time.Now().Add(50 * time.Millisecond)
	<-time.After(time.Until(due))
	for _, fd := range fds {
		if err := unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0); err != nil {
			b.Fatal(err)
		}
	}
	sent = time.Since(due)
	for _, z := range zones {
		if _, err := syscall.Wait4(z.pid, nil, 0, nil); err != nil {
			b.Fatal(err)
		}
	}
	gone = time.Since(due)
	for _, z := range zones {
		for _, group := range z.groups {
			if err := syscall.Rmdir(group); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.RemoveAll(z.dir); err != nil {
			b.Fatal(err)
		}
		put()
	}
	return sent, gone, time.Since(due)
}
