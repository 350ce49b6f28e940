package main

import (
	"context"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/internal/usage"
	"github.com/sledagent/sledagent/propolis/sim"
)

const runLong = `Serves the Propolis API at ADDR:PORT until SIGTERM or SIGINT. Logs to standard
error, one JSON object a line. With port 0 the port is any free one; the line
"serving" tells which, under the key "listen".

The simulator's own API is served at the same address, below /sim/, without an
api-version:

  GET  /sim/state           the VM, its queue, how often each call came, how many
                            monitors are under way, the faults
  GET  /sim/faults          the modes in force, as an array
  PUT  /sim/faults          replace them all by the modes of an array
  POST /sim/do/ACTION       make something happen now

propolis-sim modes lists the modes and the actions.

The form of a request depends on its api-version, up to that of --api-version. In
version 7 a stop or a reboot may give the guest a time in seconds: its power button
is pressed, which it obeys at once unless a mode says otherwise, and the stop or
the reset is forced when the time is over.`

const runExample = `  propolis-sim run 127.0.0.1:12400
  propolis-sim run --mode ignore-stop [::1]:0
  propolis-sim run --api-version 7.0.0 --mode ignore-button 127.0.0.1:12400
  propolis-sim run --mode hang-stop,slow-all=200ms --mode exit-after=5s 127.0.0.1:12400

  curl -X PUT -H content-type:application/json -d '["stay-stopping","refuse-get=503:Internal*2"]' http://127.0.0.1:12400/sim/faults
  curl -X POST http://127.0.0.1:12400/sim/do/guest-poweroff`

// settings are the flags of run.
type settings struct {
	modes  []string
	times  sim.Times
	newest string
}

func runCommand() *cobra.Command {
	s := settings{times: sim.DefaultTimes()}
	cmd := &cobra.Command{
		Use:     "run [flags] ADDR:PORT",
		Short:   "Serve one simulated VM",
		Long:    runLong,
		Example: runExample,
		Args:    usage.Wants(1, "one ADDR:PORT"),
		RunE:    func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args[0], s) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&s.modes, "mode", nil, "a fault, or several with commas; may be repeated (see propolis-sim modes)")
	f.DurationVar(&s.times.Create, "create-time", s.times.Create, "how long PUT /instance takes")
	f.DurationVar(&s.times.Boot, "boot-time", s.times.Boot, "how long Starting and Rebooting last")
	f.DurationVar(&s.times.Stop, "stop-time", s.times.Stop, "how long each of Stopping and Stopped lasts")
	f.DurationVar(&s.times.Phase, "phase-time", s.times.Phase, "how long each phase of a migration lasts")
	f.StringVar(&s.newest, "api-version", sim.NewestVersion, "the newest API version to serve; soft stops and reboots need 7.0.0")
	return cmd
}

// run serves until a signal arrives. It checks the whole command line before it
// listens.
func run(ctx context.Context, addr string, s settings) error {
	faults, err := sim.ParseFaults(s.modes...)
	if err != nil {
		return usage.Wrong(err)
	}
	newest, err := dropshot.ParseVersion(s.newest)
	if err != nil {
		return usage.Wrong(err)
	}
	if err := usage.CheckAddr(addr); err != nil {
		return usage.Wrong(err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err // the error says "listen tcp ADDR: reason"
	}
	log := zerolog.New(os.Stderr).With().Timestamp().Int("pid", os.Getpid()).Logger()
	server := sim.New(sim.Options{Faults: faults, Times: s.times, Newest: newest, Process: self{log}, Log: log})
	defer server.Close()
	return serve(listener, server, log)
}

// serve serves until a signal ends it or the listener fails. Pending requests are cut
// off, as when a real server dies.
func serve(listener net.Listener, server *sim.Server, log zerolog.Logger) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	h := &http.Server{
		Handler:           server.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          stdlog.New(log, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(listener) }()
	log.Info().Str("listen", listener.Addr().String()).Strs("faults", server.Faults().Modes()).Msg("serving")
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGTERM && server.Faults().IgnoresTerm() {
				log.Warn().Msg("SIGTERM ignored")
				continue
			}
			log.Info().Stringer("signal", sig).Msg("ending")
			return h.Close()
		case err := <-failed:
			return fmt.Errorf("serve: %w", err)
		}
	}
}
