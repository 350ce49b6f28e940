package main

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/internal/usage"
	"github.com/sledagent/sledagent/propolis/qemu"
	"github.com/sledagent/sledagent/propolis/server"
)

const runLong = `Serves the Propolis API at ADDR:PORT until SIGTERM or SIGINT, and runs the VM
that it is asked for in QEMU. QEMU is killed when this program ends, however that
happens. Logs to standard error, one JSON object a line, with the lines of the
guest's console com1. With port 0 the port is any free one; the line "serving"
tells which, under the key "listen".

Of an instance spec there are CPUs, memory, serial ports, disks (virtio and NVMe,
over files and blobs, in their boot order), network cards, SMBIOS values and
pvpanic. The chipset is always q35. Whatever else is in a spec is refused with an
error that names it. Crucible volumes are refused unless --crucible has files in
their place.

With --net user the guest reaches whatever this host reaches, including servers
on its loopback address, such as the sled agent's API. --net none has the cards
without a network. With --net bridge=NAME each card is a new port of a bridge of
the host, which is gone with the VM, however that ends.

If this program is root, QEMU runs as nobody, or as --user. It gets its disks, its
kernel and its network by descriptors, so its user needs no access to their files.`

const runExample = `  propolis-qemu run 127.0.0.1:12400
  propolis-qemu run --kernel bin/guest/kernel --initrd bin/guest/initrd --append 'console=ttyS0 panic=-1' [::1]:0
  propolis-qemu run --crucible /srv/disks --net bridge=br0 --user vm --api-version 7.0.0 127.0.0.1:12400

In the sled agent's configuration:

  [zones.process]
  propolis = ["/usr/bin/propolis-qemu", "run", "--crucible", "/srv/disks", "{addr}"]`

// settings are the flags of run.
type settings struct {
	qemu   qemu.Options
	user   string
	newest string
}

func runCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:     "run [flags] ADDR:PORT",
		Short:   "Serve one VM",
		Long:    runLong,
		Example: runExample,
		Args:    usage.Wants(1, "one ADDR:PORT"),
		RunE:    func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args[0], s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.qemu.Program, "qemu", "qemu-system-x86_64", "QEMU's program")
	f.StringVar(&s.qemu.Accel, "accel", "auto", "kvm, tcg (without hardware support, slow), or auto: kvm if a guest proves that it works")
	f.StringVar(&s.qemu.Net, "net", "user", "what network cards are connected to: none, user (QEMU's own network), tap (the device with the VNIC's name) or bridge=NAME (a new port of it)")
	f.StringVar(&s.qemu.CrucibleDir, "crucible", "", "directory with a file ID.raw in place of each Crucible volume")
	f.StringVar(&s.qemu.Kernel, "kernel", "", "Linux kernel to boot in place of a disk")
	f.StringVar(&s.qemu.Initrd, "initrd", "", "initial file system for --kernel")
	f.StringVar(&s.qemu.Append, "append", "", "command line for --kernel")
	f.StringVar(&s.qemu.Dir, "dir", ".", "directory of console.log, the end of the guest's console")
	f.StringVar(&s.user, "user", "", "user or uid of QEMU; if this program is root, nobody by default")
	f.StringVar(&s.newest, "api-version", server.NewestVersion, "the newest API version to serve; soft stops and reboots need 7.0.0")
	return cmd
}

// check checks and completes the flags before anything is begun.
func (s *settings) check() error {
	o := &s.qemu
	if o.Kernel == "" && o.Initrd+o.Append != "" {
		return errors.New("--initrd and --append need --kernel")
	}
	if err := checkNet(o.Net); err != nil {
		return err
	}
	if !slices.Contains([]string{"auto", "kvm", "tcg"}, o.Accel) {
		return fmt.Errorf("--accel %q: want auto, kvm or tcg", o.Accel)
	}
	for _, file := range []string{o.Kernel, o.Initrd, o.CrucibleDir} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	program, err := exec.LookPath(o.Program)
	if err != nil {
		return fmt.Errorf("find QEMU: %w", err)
	}
	o.Program = program
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if o.User, err = qemu.FindUser(s.user); err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	return nil
}

func checkNet(net string) error {
	if name, bridged := strings.CutPrefix(net, qemu.BridgePrefix); bridged {
		if err := qemu.CheckBridge(name); err != nil {
			return fmt.Errorf("--net: %w", err)
		}
		return nil
	}
	if !slices.Contains([]string{"none", "user", "tap"}, net) {
		return fmt.Errorf("--net %q: want none, user, tap or bridge=NAME", net)
	}
	return nil
}

// run serves until a signal arrives. It checks the whole command line before it listens.
func run(ctx context.Context, addr string, s settings) error {
	newest, err := dropshot.ParseVersion(s.newest)
	if err != nil {
		return usage.Wrong(err)
	}
	if err := errors.Join(usage.CheckAddr(addr), s.check()); err != nil {
		return usage.Wrong(err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err // the error says "listen tcp ADDR: reason"
	}
	defer listener.Close()
	log := zerolog.New(os.Stderr).With().Timestamp().Int("pid", os.Getpid()).Logger()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // Another signal ends this program at once.
	log.Info().Stringer("user", s.qemu.User).Msg("QEMU's user")
	accel, err := qemu.Accelerator(ctx, s.qemu, log)
	if ctx.Err() != nil {
		log.Info().AnErr("why", context.Cause(ctx)).Msg("ending")
		return nil
	}
	if err != nil {
		return err
	}
	host := qemu.NewHost(s.qemu, accel, log)
	defer host.Wait()
	api := server.New(server.Options{Make: host.Make, Check: host.Check, Newest: newest, Log: log})
	defer api.Close()
	return serve(ctx, listener, api, log)
}

// serve serves until a signal ends ctx or the listener fails. Pending requests are cut off.
func serve(ctx context.Context, listener net.Listener, api *server.Server, log zerolog.Logger) error {
	h := &http.Server{
		Handler:           api.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          stdlog.New(log, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(listener) }()
	log.Info().Str("listen", listener.Addr().String()).Msg("serving")
	select {
	case <-ctx.Done():
		log.Info().AnErr("why", context.Cause(ctx)).Msg("ending")
		return h.Close()
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	}
}
