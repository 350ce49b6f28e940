package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/internal/certs"
)

// flags are the flags of "nexus-sim run".
type flags struct {
	listen, control, dns string
	tls                  certs.Files
	faults, known        []string
	seed                 uint64
}

func runCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "run --listen ADDR:PORT",
		Short: "Receive VMM records until SIGTERM",
		Long: `Receive VMM records (PUT /vmms/{propolis_id}, internal API ` + nexussim.APIVersion + `) until SIGTERM.

On a terminal the VMMs are shown as a live table; otherwise every PUT is a line
of JSON on standard output. Where it listens is logged on standard error.

Control routes, on the control port and on the main one:
  GET  /vmms, /vmms/{id}   what is known of each VMM
  GET  /sim/puts           the last PUTs
  GET  /sim/violations     contradictions that were noticed
  GET, PUT /sim/faults     ["delay=2s","status=503@VMM"]
  POST /sim/vmms           {"ids":[...]}: only these exist
  POST /sim/migrations     {"id":...,"source":...,"target":...,"deleted":false}`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, f) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", "[::1]:12221", "where to receive records; port 0 is any free one")
	cmd.Flags().StringVar(&f.control, "control", "127.0.0.1:0", "where to serve the control routes alone")
	cmd.Flags().StringVar(&f.dns, "dns", "", "where to answer DNS questions for Nexus (SRV), over UDP and TCP")
	cmd.Flags().StringVar(&f.tls.Cert, "cert", "", "certificate (PEM): receive records over TLS, from clients with a certificate")
	cmd.Flags().StringVar(&f.tls.Key, "key", "", "its key (PEM)")
	cmd.Flags().StringVar(&f.tls.CA, "client-ca", "", "the issuers of clients' certificates (PEM)")
	cmd.MarkFlagsRequiredTogether("cert", "key", "client-ca")
	cmd.Flags().StringArrayVar(&f.faults, "fault", nil, "a fault, NAME[=VALUE][@VMM]; see `nexus-sim faults`; may be repeated")
	cmd.Flags().StringSliceVar(&f.known, "known", nil, "VMMs that exist; any other is answered with 500 (default: all exist)")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "seed of fail-percent")
	return cmd
}

func run(cmd *cobra.Command, f flags) error {
	server, err := f.server()
	if err != nil {
		return err
	}
	defer server.Close()
	listen, err := server.Listen(f.listen)
	if err != nil {
		return err
	}
	control, err := server.ListenControl(f.control)
	if err != nil {
		return err
	}
	if f.dns != "" {
		if f.dns, err = server.ListenDNS(f.dns); err != nil {
			return err
		}
	}
	logTo(cmd.ErrOrStderr()).Info().Str("listen", listen).Str("control", control).Str("dns", f.dns).
		Strs("faults", server.Faults()).Msg("simulated Nexus is listening")
	if out, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		return showTable(cmd.Context(), server, out, where{listen: listen, control: control})
	}
	return printPuts(cmd.Context(), server, cmd.OutOrStdout())
}

// server makes the simulated Nexus that the flags describe.
func (f flags) server() (*nexussim.Server, error) {
	o := nexussim.Options{Seed: f.seed}
	if f.tls.Cert != "" {
		store := certs.New(f.tls, zerolog.Nop())
		if err := store.Load(); err != nil {
			return nil, err
		}
		o.TLS = store.Server()
	}
	server := nexussim.New(o)
	for _, k := range f.known {
		id, err := uuid.Parse(strings.TrimSpace(k))
		if err != nil {
			return nil, fmt.Errorf("--known %q: %w", k, err)
		}
		server.SetKnown(id)
	}
	return server, server.SetFault(f.faults...)
}

func logTo(w io.Writer) *zerolog.Logger {
	if out, ok := w.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		w = zerolog.ConsoleWriter{Out: out}
	}
	log := zerolog.New(w).With().Timestamp().Logger()
	return &log
}
