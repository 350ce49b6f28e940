package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// resolve finds a VMM on this sled by its id, a prefix of it, or its hostname. A full id is
// not looked up, so that it works without the admin socket.
func (a *app) resolve(ctx context.Context, name string) (uuid.UUID, error) {
	if id, err := uuid.Parse(strings.TrimSpace(name)); err == nil {
		return id, nil
	}
	all, err := a.admin.List(ctx)
	if err != nil {
		return uuid.Nil, fmt.Errorf("find VMM %s: %w", name, err)
	}
	s, err := a.pick(ctx, name, all)
	return s.ID, err
}

// find is resolve for commands that only read. It also finds ended VMMs, if none on this
// sled has the name.
func (a *app) find(ctx context.Context, name string) (uuid.UUID, error) {
	id, err := a.resolve(ctx, name)
	if missing, ok := errors.AsType[*exitError](err); !ok || missing.code != exitNotFound {
		return id, err
	}
	ended, failed := a.admin.Ended(ctx)
	if failed != nil {
		return uuid.Nil, fmt.Errorf("find VMM %s: %w", name, failed)
	}
	if found := withName(ended, name); len(found) > 0 {
		s, err := a.only(name, found)
		return s.ID, err
	}
	return uuid.Nil, err
}

// pick finds a VMM among all on this sled.
func (a *app) pick(ctx context.Context, name string, all []vmm.Status) (vmm.Status, error) {
	if strings.TrimSpace(name) == "" {
		return vmm.Status{}, fail(exitUsage, "a VMM's name is empty")
	}
	if found := withName(all, name); len(found) > 0 {
		return a.only(name, found)
	}
	err := fail(exitNotFound, "%s", notFound(name, all))
	ended, _ := a.admin.Ended(ctx) // only improves the error
	if found := withName(ended, name); len(found) > 0 {
		s := found[0]
		err = fail(exitNotFound, "%w; VMM %s (%s) has ended %s at %s", err, s.ID, s.Hostname, s.Record.VMM.State, a.view().At(s.Since))
	}
	return vmm.Status{}, err
}

// only returns the one VMM that was found.
func (a *app) only(name string, found []vmm.Status) (vmm.Status, error) {
	if len(found) > 1 {
		return vmm.Status{}, fail(exitUsage, "%s could be any of:\n%s", name, a.candidates(found))
	}
	return found[0], nil
}

// withName returns the VMMs that a name may mean.
func withName(all []vmm.Status, name string) (found []vmm.Status) {
	name = strings.TrimSpace(name)
	id, err := uuid.Parse(name)
	for _, s := range all {
		if err == nil && s.ID == id || strings.HasPrefix(s.ID.String(), strings.ToLower(name)) || strings.EqualFold(s.Hostname, name) {
			found = append(found, s)
		}
	}
	return found
}

// notFound describes that no VMM has this name. It suggests a VMM whose instance id
// matches, since users and Nexus's tools show those.
func notFound(name string, all []vmm.Status) string {
	text := fmt.Sprintf("no VMM's id begins with %s and none has it as its hostname", name)
	for _, s := range all {
		if strings.HasPrefix(s.InstanceID.String(), strings.ToLower(name)) {
			return fmt.Sprintf("%s; it is the instance of VMM %s (%s)", text, s.ID, s.Hostname)
		}
	}
	return text
}

// maxCandidates bounds the VMMs in the error for an ambiguous prefix.
const maxCandidates = 10

func (a *app) candidates(found []vmm.Status) string {
	var lines []string
	for i, s := range found {
		if i == maxCandidates {
			lines = append(lines, fmt.Sprintf("  and %d more", len(found)-i))
			break
		}
		line := fmt.Sprintf("  %s  %s", s.ID, s.Hostname)
		if s.Phase == phaseForgotten {
			line += fmt.Sprintf("  %s at %s", s.Record.VMM.State, a.view().At(s.Since))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// completeID completes one id or hostname.
func (a *app) completeID(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeIDs(cmd, args, begun)
}

// completeIDs completes ids, with hostnames as descriptions, and hostnames that only one
// VMM has.
func (a *app) completeIDs(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if a.prepare() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []vmm.Status
	_ = a.within(cmd.Context(), requestTimeout, func(ctx context.Context) (err error) {
		all, err = a.admin.List(ctx) // no completion without an answer
		return err
	})
	var offers []string
	digits := view.PrefixLength(all)
	for _, s := range all {
		id := s.ID.String()
		switch {
		case slices.Contains(args, id[:digits]) || slices.Contains(args, s.Hostname):
		case strings.HasPrefix(id, begun):
			offers = append(offers, id[:max(digits, len(begun))]+"\t"+s.Hostname)
		case begun != "" && strings.HasPrefix(s.Hostname, begun) && len(withName(all, s.Hostname)) == 1:
			offers = append(offers, s.Hostname+"\t"+id[:digits])
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
