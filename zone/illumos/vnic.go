package illumos

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// Names of datalinks, without their numbers. Omicron's sled agent uses the same name
// for control links, and operators look for it.
const (
	controlBase = "oxControlInstance"
	guestBase   = "oxGuest"
)

// ownLink matches the names that Create chooses.
var ownLink = regexp.MustCompile(`^(` + controlBase + `|` + guestBase + `)[0-9]+$`)

// controlMTU is the MTU of the underlay, over which Propolis serves.
const controlMTU = 9000

// errLinkExists is the error of make if the name is taken.
var errLinkExists = errors.New("a datalink of that name exists")

// vnics provides VNICs over one datalink. They are temporary (-t): like running
// zones, they do not survive a boot of the host.
type vnics struct {
	commands *command.Set
	over     string
}

// A link is one datalink of the host.
type link struct {
	name, class, over string
	mtu               int
}

// links returns the datalinks of the host, including those in zones (illumos
// dladm.c). While dlmgmtd is not available, dladm prints nothing and exits with 0,
// so a list without the link that is known to exist is an error.
func (v vnics) links(ctx context.Context) ([]link, error) {
	argv := []string{"dladm", "show-link", "-p", "-o", "LINK,CLASS,OVER,MTU"}
	out, warned, err := v.commands.Outputs(ctx, command.Call{Argv: argv, Budget: quickBudget})
	if err != nil {
		return nil, err
	}
	var all []link
	for _, f := range parse.Records(out, 4) {
		mtu, _ := strconv.Atoi(f[3]) // 0 if there is none
		all = append(all, link{f[0], f[1], f[2], mtu})
	}
	switch {
	case len(all) != len(parse.Column(out)):
		err = errors.New("output has unparseable lines")
	case !slices.ContainsFunc(all, func(l link) bool { return l.name == v.over }):
		err = fmt.Errorf("it does not list %s, so it may lack other links", v.over)
	}
	if err != nil {
		return nil, &command.Error{Argv: argv, Err: err, Stderr: warned}
	}
	return all, nil
}

// names returns the name of every datalink of the host.
func (v vnics) names(ctx context.Context) ([]string, error) {
	all, err := v.links(ctx)
	var names []string
	for _, l := range all {
		names = append(names, l.name)
	}
	return names, err
}

// make creates a link for a NIC of zone owner.
func (v vnics) make(ctx context.Context, owner, link string, nic zone.NIC) error {
	argv := []string{"dladm", "create-vnic", "-t", "-l", v.over}
	if nic.MAC != "" {
		argv = append(argv, "-m", nic.MAC)
	}
	mtu := "mtu=" + strconv.Itoa(nic.MTU)
	if nic.MTU > 0 {
		argv = append(argv, "-p", mtu)
	}
	err := v.commands.Run(ctx, command.Call{Argv: append(argv, link), For: owner, Budget: quickBudget, Makes: true})
	switch {
	case command.Said(err, "already exists"):
		return fmt.Errorf("%w: %w", errLinkExists, err)
	case command.Said(err, "address is already in use", "address already in use"):
		return fmt.Errorf("another VNIC over %s has the MAC address %s, so a VM cannot migrate "+
			"within this sled: %w", v.over, nic.MAC, err)
	}
	if err != nil || nic.MTU <= 0 {
		return err
	}
	// create-vnic does not always apply the MTU (illumos issue 15695), so it is set
	// again.
	argv = []string{"dladm", "set-linkprop", "-t", "-p", mtu, link}
	return v.commands.Run(ctx, command.Call{Argv: argv, For: owner, Budget: quickBudget})
}

// remove removes a link of zone owner, if it exists. A link that is still in a zone or has an
// IP interface is busy. That is an error, so the removal is retried.
func (v vnics) remove(ctx context.Context, owner, link string) error {
	err := v.commands.Run(ctx, command.Call{Argv: []string{"dladm", "delete-vnic", link}, For: owner, Budget: quickBudget})
	if err == nil || ctx.Err() != nil {
		return err
	}
	// While dlmgmtd is not available, dladm reports every link as an invalid name.
	names, listErr := v.names(ctx)
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	if slices.Contains(names, link) {
		return err
	}
	return nil
}
