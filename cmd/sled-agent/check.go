package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/hostcheck"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/internal/certs"
	"github.com/sledagent/sledagent/zone/process"
)

// askBudget is how long a check waits for an agent that may be running.
const askBudget = 2 * time.Second

func checkCommand() *cobra.Command {
	var file, output string
	var host bool
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Check a configuration and print it with all defaults; or check the host",
		Long: `Check a configuration and print it with all defaults.

With --host, check instead whether this host is fit for it: commands, devices,
permissions, addresses, file systems, certificates, and whether Nexus can be reached.
Each result is ok, warning or error, with what to do about it. Nothing is changed, and an
agent may be running; run it as the user that runs the agent, since other users may be
permitted something else.
Exit status: 0 without errors, 95 with some, 96 a bad configuration.`,
		Example: `  sled-agent check --config /etc/sled-agent.toml
  sled-agent check --config /etc/sled-agent.toml --host
  sled-agent check --config /etc/sled-agent.toml --host -o json | jq '.[] | select(.level != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && (output != "json" || !host) {
				return fmt.Errorf("-o %q: want text, or json with --host", output)
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			if !host {
				return cfg.Write(cmd.OutOrStdout())
			}
			return checkHost(cmd.Context(), cfg, output, cmd.OutOrStdout())
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&host, "host", false, "check the host instead of printing the configuration")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`format` of the results of --host: text or json")
	return cmd
}

// checkHost prints the results of all checks. Its error says how many have failed.
func checkHost(ctx context.Context, cfg *config.Config, output string, out io.Writer) error {
	results := hostcheck.Run(ctx, hostChecks(cfg))
	var err error
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(results)
	} else {
		err = hostcheck.Write(out, results)
	}
	if err == nil {
		err = hostcheck.Summary(results)
	}
	if err != nil {
		return fatal{err}
	}
	return nil
}

// hostChecks lists the checks for a configuration.
func hostChecks(cfg *config.Config) []hostcheck.Check {
	running := func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, askBudget)
		defer cancel()
		client := admin.NewClient(cfg.Admin.Socket)
		defer client.Close()
		_, err := client.About(ctx)
		return err == nil
	}
	all := []hostcheck.Check{
		hostcheck.StateDir(cfg.StateDir, private),
		hostcheck.Boot(),
		hostcheck.Files(),
		hostcheck.Socket("admin.socket", cfg.Admin.Socket, running),
		hostcheck.Listen("api.listen", cfg.API.Listen.String(), running),
	}
	if cfg.Admin.Metrics != "" {
		all = append(all, hostcheck.Listen("admin.metrics", cfg.Admin.Metrics, running))
	}
	if cfg.Admin.Group != "" {
		all = append(all, hostcheck.Group(cfg.Admin.Group))
	}
	if t := cfg.API.TLS; t.On() {
		all = append(all, hostcheck.Certs("api.tls", certs.New(certs.Files{Cert: t.Cert, Key: t.Key, CA: t.ClientCA}, zerolog.Nop())))
	}
	nexus := hostcheck.Nexus{Addresses: cfg.Nexus.Addresses, DNS: cfg.Nexus.DNS, Scheme: "http"}
	if t := cfg.Nexus.TLS; t.On() {
		nexus.Scheme = "https"
		var store *certs.Store
		store, nexus.TLS = nexusTLS(t, zerolog.Nop())
		all = append(all, hostcheck.Certs("nexus.tls", store))
	}
	all = append(all, nexus.Reachable())
	if cfg.Zones.Backend.On(runtime.GOOS) == config.BackendIllumos {
		return append(all, illumosChecks(cfg)...)
	}
	return append(all, processChecks(cfg)...)
}

func processChecks(cfg *config.Config) []hostcheck.Check {
	return []hostcheck.Check{
		hostcheck.Of("zones.process.propolis", "install it, or set zones.process.propolis", func(context.Context) (string, error) {
			path, err := process.FindServer(cfg.Zones.Process.Propolis[0])
			if err == nil {
				_, err = os.Stat(path)
			}
			return path, err
		}),
		hostcheck.Isolation(func() (string, error) { return process.Probe(filepath.Join(cfg.StateDir, "zones")) },
			"pid namespace and cgroup", "pid namespace"),
	}
}

// brandsDir is where brands are installed; varDir is where zoneadm and SMF keep what they need.
const (
	brandsDir = "/usr/lib/brand"
	varDir    = "/var"
)

func illumosChecks(cfg *config.Config) []hostcheck.Check {
	c := cfg.Zones.Illumos
	all := []hostcheck.Check{
		hostcheck.Path("zones.illumos.brand", filepath.Join(brandsDir, c.Brand, "config.xml"), "install the brand's package, or set another zones.illumos.brand"),
		hostcheck.Space("zones.illumos.zone_root", c.ZoneRoot),
		hostcheck.Space("/var", varDir),
	}
	if c.VMMCtl != "" {
		all = append(all, hostcheck.Path("zones.illumos.vmmctl", c.VMMCtl, "install bhyve, or set zones.illumos.vmmctl to \"\" where there is none"))
	}
	for _, file := range c.Image {
		if filepath.IsAbs(file) {
			all = append(all, hostcheck.Path("zones.illumos.image", file, "install the image, or set zones.illumos.image"))
		}
	}
	return append(all, hostcheck.Findings("zones", func(ctx context.Context) ([]hostcheck.Result, error) {
		m, _, err := newIllumos(cfg, zerolog.Nop())
		if err != nil {
			return nil, err
		}
		defer m.Close()
		var results []hostcheck.Result
		// The sled's API and its servers have addresses in the same prefix, unless it is for this
		// host alone.
		near := cfg.API.Listen.Addr()
		if near.IsLoopback() || near.IsUnspecified() {
			near = netip.Addr{}
		}
		for _, f := range m.Findings(ctx, near) {
			results = append(results, hostcheck.Failed(f.Name, f.Err, f.Cure))
		}
		return results, nil
	}))
}
