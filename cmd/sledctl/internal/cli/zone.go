package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

func (a *app) zoneGroup() *cobra.Command {
	g := group("zone", "Show zones, and remove those that belong to no VMM", a.zoneListCommand(), a.zoneRemoveCommand())
	g.Aliases = []string{"zones"}
	return g
}

func (a *app) zoneListCommand() *cobra.Command {
	var watch watchFlag
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the agent's zones and whose they are",
		Long: `List the zones whose names have the agent's prefix, with the VMM that each belongs
to. A zone that belongs to none is an orphan, and marked: either the agent removes
it, or the line says why it is kept. FOR is for how long the running agent has seen
the zone in its state.

The agent looks at all zones every 3 seconds and answers from memory. If the host has
not listed them completely, the first line says so.`,
		Example: `  sledctl zone list
  sledctl zone list -o wide
  sledctl zone list --jq '.zones[] | select(.orphan) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), watch, func(ctx context.Context) (any, func(view.View) string, error) {
				list, err := a.admin.Zones(ctx)
				return zoneAnswer{list}, func(v view.View) string { return v.Zones(list) }, err
			})
		},
	}
	watch.add(cmd)
	return cmd
}

// zoneAnswer is a list of zones, whose names -o name prints.
type zoneAnswer struct{ vmm.ZoneList }

func (z zoneAnswer) names() (names []string) {
	for _, s := range z.Zones {
		names = append(names, s.Name)
	}
	return names
}

func (a *app) zoneRemoveCommand() *cobra.Command {
	var yes, wait bool
	cmd := &cobra.Command{
		Use:     "remove NAME...",
		Aliases: []string{"rm"},
		Short:   "Remove zones that belong to no VMM, by force",
		Long: `Remove zones that belong to no VMM: their processes are killed, and what the host has
of them is removed as after a VMM's end. The agent keeps such a zone if its ledger is
new or was repaired, so that the record of its VMM may be lost, or if zones.orphans
is keep, the default on illumos. A guest may run in it: look before you remove one.

The zone of a VMM is refused: "sledctl vmm stop" and "vmm kill" end VMMs. All zones
are looked up, and a person is asked, before anything is removed. What the host
refuses is tried again until the agent exits; "zone list" shows how it goes. A later
agent does not go on with it.`,
		Example: `  sledctl zone remove oxz_propolis-server_81bc22de-6a7d-4e7e-8a07-3f3a4ed0c5a8
  sledctl zone remove --yes --wait $(sledctl zone list --jq '.zones[] | select(.orphan) | .name')`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeOrphans,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.within(cmd.Context(), waitTimeout, func(ctx context.Context) error {
				return a.removeZones(ctx, names, yes, wait)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the zones are gone")
	return cmd
}

func (a *app) removeZones(ctx context.Context, names []string, yes, wait bool) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	list, err := a.admin.Zones(ctx)
	if err != nil {
		return err
	}
	zones, err := removable(list, names)
	if err != nil {
		return err
	}
	if !yes {
		if err := a.confirmRemoval(ctx, zones); err != nil {
			return err
		}
	}
	results := make(zoneResults, len(names))
	var failed []error
	for i, name := range names {
		results[i].Name = name
		z, err := a.admin.RemoveZone(ctx, name)
		if err != nil {
			results[i].Error = explain(err)
			failed = append(failed, err)
			continue
		}
		results[i].Zone = &z
	}
	if wait {
		failed = append(failed, a.waitForZones(ctx, results))
	}
	err = a.print(results, func(view.View) string { return results.text(wait) })
	return errors.Join(append([]error{err}, failed...)...)
}

// removable returns the zones with these names, if all of them may be removed. One that is not in
// an incomplete list may exist.
func removable(list vmm.ZoneList, names []string) (zones []vmm.ZoneStatus, err error) {
	var problems []string
	code := exitNotFound
	for _, name := range names {
		i := slices.IndexFunc(list.Zones, func(z vmm.ZoneStatus) bool { return z.Name == name })
		switch {
		case i < 0 && list.Trouble == "":
			problems = append(problems, fmt.Sprintf("the agent has no zone %s; see sledctl zone list", name))
		case i < 0:
			zones = append(zones, vmm.ZoneStatus{Name: name, State: "not listed"})
		case list.Zones[i].VMM != nil:
			z := list.Zones[i]
			problems = append(problems, fmt.Sprintf("zone %s belongs to VMM %s (%s): use sledctl vmm stop or vmm kill", name, z.VMM, z.Hostname))
			code = exitOther
		default:
			zones = append(zones, list.Zones[i])
		}
	}
	if len(problems) > 0 {
		return nil, fail(code, "nothing was removed: %s", strings.Join(problems, "\n"))
	}
	return zones, nil
}

// confirmRemoval asks the user.
func (a *app) confirmRemoval(ctx context.Context, zones []vmm.ZoneStatus) error {
	if a.Raw == nil {
		return fail(exitUsage, "nothing was removed: standard input is not a terminal, so there is no confirmation; use --yes")
	}
	v := a.view()
	for _, z := range zones {
		a.say("%s is %s, belongs to %s\n", z.Name, z.State, v.ZoneOwner(z))
	}
	what := "this zone"
	if len(zones) > 1 {
		what = fmt.Sprintf("these %d zones", len(zones))
	}
	a.say("Remove %s by force? A guest in it is killed and loses unwritten data. [y/N] ", what)
	typed := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(a.In).ReadString('\n') // without an answer nothing is removed
		typed <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case answer := <-typed:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return fail(exitOther, "nothing was removed")
	case <-ctx.Done():
		a.say("\n")
		return context.Cause(ctx)
	}
}

// waitForZones waits until a complete list has none of the zones that are being removed.
func (a *app) waitForZones(ctx context.Context, results zoneResults) error {
	ticks := time.NewTicker(a.Poll)
	defer ticks.Stop()
	for {
		list, err := a.admin.Zones(ctx)
		if err != nil && !transient(err) {
			return err
		}
		if err == nil && results.gone(list) {
			return nil
		}
		select {
		case <-ctx.Done():
			a.say("the removal goes on\n")
			return context.Cause(ctx)
		case <-ticks.C:
		}
	}
}

// zoneResults are what became of zones that were to be removed.
type zoneResults []zoneResult

type zoneResult struct {
	Name  string          `json:"name"`
	Zone  *vmm.ZoneStatus `json:"zone,omitempty"`
	Gone  bool            `json:"gone"`
	Error string          `json:"error,omitempty"`
}

// names returns the zones whose removal was accepted.
func (all zoneResults) names() (names []string) {
	for _, r := range all {
		if r.Error == "" {
			names = append(names, r.Name)
		}
	}
	return names
}

// gone notes which zones a list proves to be gone, and reports whether all are that can be.
func (all zoneResults) gone(list vmm.ZoneList) bool {
	whole := true
	for i, r := range all {
		if r.Zone == nil || r.Gone {
			continue
		}
		listed := slices.ContainsFunc(list.Zones, func(z vmm.ZoneStatus) bool { return z.Name == r.Name })
		all[i].Gone = !listed && list.Trouble == "" && r.Zone.Removal != nil && list.At.After(r.Zone.Removal.Begun)
		whole = whole && all[i].Gone
	}
	return whole
}

func (all zoneResults) text(waited bool) string {
	var out strings.Builder
	for _, r := range all {
		switch {
		case r.Error != "":
		case r.Gone:
			fmt.Fprintf(&out, "zone %s is gone\n", r.Name)
		case waited:
			fmt.Fprintf(&out, "zone %s is still being removed\n", r.Name)
		default:
			fmt.Fprintf(&out, "zone %s is being removed by force\n", r.Name)
		}
	}
	return out.String()
}

// completeOrphans completes the names of zones that belong to no VMM.
func (a *app) completeOrphans(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if a.prepare() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list vmm.ZoneList
	_ = a.within(cmd.Context(), requestTimeout, func(ctx context.Context) (err error) {
		list, err = a.admin.Zones(ctx) // no completion without an answer
		return err
	})
	var offers []string
	for _, z := range list.Zones {
		if z.Orphan && strings.HasPrefix(z.Name, begun) && !slices.Contains(args, z.Name) {
			offers = append(offers, z.Name+"\t"+z.State)
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

// noSuchThing reports whether an error means that a VMM or a zone does not exist.
func noSuchThing(err error) bool { return admin.IsUnknown(err) || admin.IsNoZone(err) }
