package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// registration holds the flags of the register command.
type registration struct {
	id, instance, migration, addr, body, hostname string
	cpus                                          uint8
	memory                                        uint64
	nics                                          int
	disks                                         []string
}

func (a *app) registerCommand() *cobra.Command {
	var r registration
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Register a VMM, as Nexus would, and print its new id",
		Long: `Register a VMM, as Nexus would, and print its new id. Nothing runs yet; vmm start
starts it. The VMM is a small one, made from the flags, unless --body gives the
whole request.`,
		Example: `  id=$(sledctl vmm register --hostname web-1 --memory 2048)
  sledctl vmm register --disk /srv/disks/web-1.raw   # for propolis-qemu
  sledctl vmm register --body registration.json
  generate-registration | sledctl vmm register --body -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.within(cmd.Context(), requestTimeout, func(ctx context.Context) error { return a.register(ctx, r) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.body, "body", "", "`file` with the request's body (InstanceEnsureBody); - for stdin")
	flags.StringVar(&r.id, "id", "", "the VMM's `UUID` (default: a new one)")
	flags.StringVar(&r.instance, "instance", "", "the instance's `UUID` (default: a new one)")
	flags.StringVar(&r.migration, "migration", "", "`UUID` of the migration that the VMM is the target of")
	flags.StringVar(&r.addr, "propolis-addr", "", "`ip:port` that Propolis is to serve on (default: a free port of ::1)")
	flags.StringVar(&r.hostname, "hostname", "", "the guest's `name` (default demo)")
	flags.Uint8Var(&r.cpus, "cpus", 0, "virtual CPUs (default 2)")
	flags.Uint64Var(&r.memory, "memory", 0, "memory in `MiB` (default 1024)")
	flags.IntVar(&r.nics, "nics", 0, "network interfaces")
	flags.StringArrayVar(&r.disks, "disk", nil, "absolute `path` of a raw file that is a disk, for a Propolis that takes files; may be repeated")
	for _, made := range []string{"instance", "migration", "propolis-addr", "hostname", "cpus", "memory", "nics", "disk"} {
		cmd.MarkFlagsMutuallyExclusive("body", made)
	}
	return cmd
}

func (a *app) register(ctx context.Context, r registration) error {
	id, err := parseUUID("id", r.id)
	if err != nil {
		return err
	}
	if id == uuid.Nil {
		id = uuid.New()
	}
	body, err := a.registrationBody(r)
	if err != nil {
		return err
	}
	sled, err := a.sled()
	if err != nil {
		return err
	}
	record, err := sled.Register(ctx, id, body)
	if err != nil {
		return err
	}
	answer := registered{id, record}
	return a.print(answer, func(view.View) string { return id.String() + "\n" })
}

type registered struct {
	ID     uuid.UUID  `json:"id"`
	Record vmm.Record `json:"record"`
}

func (r registered) names() []string { return []string{r.ID.String()} }

// maxRegistration is the sled API's limit in bytes.
const maxRegistration = 1 << 20

func (a *app) registrationBody(r registration) ([]byte, error) {
	if r.body == "" {
		o, err := r.options()
		if err != nil {
			return nil, err
		}
		return wire.NewBody(o), nil
	}
	in := a.In
	if r.body != "-" {
		f, err := os.Open(r.body)
		if err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, maxRegistration+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read registration: %w", err)
	case len(body) > maxRegistration:
		return nil, fail(exitUsage, "--body %s: more than the sled API's limit of 1 MiB", r.body)
	case !json.Valid(body):
		return nil, fail(exitUsage, "--body %s: not JSON", r.body)
	}
	return body, nil
}

func (r registration) options() (o wire.BodyOptions, err error) {
	o.Hostname, o.CPUs, o.MemoryMiB, o.NICs = r.hostname, r.cpus, r.memory, r.nics
	o.Disks = r.disks
	if o.InstanceID, err = parseUUID("instance", r.instance); err != nil {
		return o, err
	}
	if r.migration != "" {
		id, err := parseUUID("migration", r.migration)
		if err != nil {
			return o, err
		}
		o.MigrationID = &id
	}
	o.PropolisAddr, err = r.propolisAddr()
	return o, err
}

func (r registration) propolisAddr() (netip.AddrPort, error) {
	if r.addr == "" {
		return freeAddr()
	}
	addr, err := netip.ParseAddrPort(r.addr)
	if err != nil {
		return addr, fail(exitUsage, "--propolis-addr %s: want one such as [fd00::1]:12400", r.addr)
	}
	return addr, nil
}

// freeAddr returns a port that is free now. Another process may take it before Propolis
// does; for a VMM made by hand that is good enough.
func freeAddr() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port for Propolis: %w", err)
	}
	defer func() { _ = l.Close() }()
	return netip.ParseAddrPort(l.Addr().String())
}

// parseUUID parses a flag's value; an empty one is uuid.Nil.
func parseUUID(flag, text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return id, fail(exitUsage, "--%s %s: not a UUID", flag, text)
	}
	return id, nil
}
