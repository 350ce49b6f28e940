package illumos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// Names of datalinks: what each begins with, before its number. Other agents of
// this kind name their control links so, and operators look for them.
const (
	controlBase = "oxControlInstance"
	guestBase   = "oxGuest"
)

// controlMTU is that of the underlay, over which Propolis serves.
const controlMTU = 9000

// errLinkExists is what Make ends with if the name is taken.
var errLinkExists = errors.New("there is a datalink of that name")

// Ports provides the datalinks of guests' NICs. Its methods must be safe for
// concurrent use.
type Ports interface {
	// Base is what the names of its links begin with; a number follows. Links
	// that are named so are taken for its own and removed with their zones.
	Base() string
	// Names returns the name of every link on the host that a new one could
	// collide with; others do no harm.
	Names(ctx context.Context) ([]string, error)
	// Make makes a link for a NIC of zone owner. It fails with an error for
	// which LinkExists holds if the name is taken.
	Make(ctx context.Context, owner, link string, nic zone.NIC) error
	// Remove removes a link of zone owner; that there is none is success.
	Remove(ctx context.Context, owner, link string) error
}

// LinkExists tells whether err says that a datalink's name is taken.
func LinkExists(err error) bool { return errors.Is(err, errLinkExists) }

// vnics provides VNICs over one datalink. They are temporary (-t): a host that
// boots again has none, as it has no zone that runs.
type vnics struct {
	commands *command.Set
	over     string
	base     string
}

var _ Ports = vnics{}

// Base implements Ports.
func (v vnics) Base() string { return v.base }

// Names implements Ports: it lists all VNICs of the host. Those that are in a
// zone are listed too (illumos dladm.c).
func (v vnics) Names(ctx context.Context) ([]string, error) {
	out, err := v.commands.Output(ctx, command.Call{Argv: []string{"dladm", "show-vnic", "-p", "-o", "LINK"}, Budget: quickBudget})
	if err != nil {
		return nil, err
	}
	return parse.Column(out), nil
}

// Make implements Ports.
func (v vnics) Make(ctx context.Context, owner, link string, nic zone.NIC) error {
	argv := []string{"dladm", "create-vnic", "-t", "-l", v.over}
	if nic.MAC != "" {
		argv = append(argv, "-m", nic.MAC)
	}
	mtu := "mtu=" + strconv.Itoa(nic.MTU)
	if nic.MTU > 0 {
		argv = append(argv, "-p", mtu)
	}
	err := v.commands.Run(ctx, command.Call{Argv: append(argv, link), For: owner, Budget: quickBudget, Makes: true})
	if command.Said(err, "already exists") {
		return fmt.Errorf("%w: %w", errLinkExists, err)
	}
	if err != nil || nic.MTU <= 0 {
		return err
	}
	// The MTU that create-vnic is given does not always take effect (illumos
	// issue 15695), so it is set once more.
	argv = []string{"dladm", "set-linkprop", "-t", "-p", mtu, link}
	return v.commands.Run(ctx, command.Call{Argv: argv, For: owner, Budget: quickBudget})
}

// Remove implements Ports. A link that is still in a zone, or plumbed, is busy:
// that is an error, so that whoever removes tries again.
func (v vnics) Remove(ctx context.Context, owner, link string) error {
	err := v.commands.Run(ctx, command.Call{Argv: []string{"dladm", "delete-vnic", link}, For: owner, Budget: quickBudget})
	if command.Said(err, "invalid link name", "object not found", "no such") {
		return nil
	}
	return err
}

// named tells whether a link has a name that base and a number make.
func named(link, base string) bool {
	number, ok := strings.CutPrefix(link, base)
	if !ok || number == "" {
		return false
	}
	return strings.Trim(number, "0123456789") == ""
}
