package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// resolve finds a VMM on this sled by its id or a prefix of it. A full id is not looked
// up, so that it works without the admin socket.
func (a *app) resolve(ctx context.Context, name string) (uuid.UUID, error) {
	id, err := a.lookUp(ctx, name, func([]vmm.Status) ([]vmm.Status, error) { return nil, nil })
	var missing *exitError
	if !errors.As(err, &missing) || missing.code != exitNotFound {
		return id, err
	}
	ended, _ := a.admin.Ended(ctx) // only improves the error
	if found := append(withPrefix(ended, strings.ToLower(name)), withHostname(ended, name)...); len(found) > 0 {
		s := found[0]
		err = fail(exitNotFound, "%w; VMM %s (%s) has ended %s at %s", err, s.ID, s.Hostname, s.Record.VMM.State, a.view().At(s.Since))
	}
	return id, err
}

// find is resolve for commands that only read. It also finds ended VMMs, by a prefix of
// the id or by hostname.
func (a *app) find(ctx context.Context, name string) (uuid.UUID, error) {
	return a.lookUp(ctx, name, func(all []vmm.Status) ([]vmm.Status, error) {
		ended, err := a.admin.Ended(ctx)
		if err != nil {
			return nil, err
		}
		if found := withPrefix(ended, strings.ToLower(name)); len(found) > 0 {
			return found, nil
		}
		if found := withHostname(ended, name); len(found) > 0 {
			return append(withHostname(all, name), found...), nil
		}
		return nil, nil
	})
}

// lookUp finds a VMM. It calls elsewhere with all VMMs on this sled if none matches.
func (a *app) lookUp(ctx context.Context, name string, elsewhere func(all []vmm.Status) ([]vmm.Status, error)) (uuid.UUID, error) {
	name = strings.TrimSpace(name)
	if id, err := uuid.Parse(name); err == nil {
		return id, nil
	}
	if name == "" {
		return uuid.Nil, fail(exitUsage, "a VMM's id is empty")
	}
	all, err := a.admin.List(ctx)
	if err != nil {
		return uuid.Nil, fmt.Errorf("find VMM %s: %w", name, err)
	}
	found := withPrefix(all, strings.ToLower(name))
	if len(found) == 0 {
		if found, err = elsewhere(all); err != nil {
			return uuid.Nil, fmt.Errorf("find VMM %s: %w", name, err)
		}
	}
	switch len(found) {
	case 1:
		return found[0].ID, nil
	case 0:
		return uuid.Nil, &exitError{code: exitNotFound, err: errors.New(notFound(strings.ToLower(name), all))}
	}
	return uuid.Nil, fail(exitUsage, "%s could be any of:\n%s", name, a.candidates(found))
}

func withPrefix(all []vmm.Status, prefix string) (found []vmm.Status) {
	for _, s := range all {
		if strings.HasPrefix(s.ID.String(), prefix) {
			found = append(found, s)
		}
	}
	return found
}

func withHostname(all []vmm.Status, name string) (found []vmm.Status) {
	for _, s := range all {
		if strings.EqualFold(s.Hostname, name) {
			found = append(found, s)
		}
	}
	return found
}

// notFound describes that no VMM's id has this prefix. It suggests a VMM whose instance
// id or hostname matches, since users and Nexus's tools show those.
func notFound(name string, all []vmm.Status) string {
	text := fmt.Sprintf("no VMM's id begins with %s", name)
	for _, s := range all {
		switch {
		case strings.HasPrefix(s.InstanceID.String(), name):
			return fmt.Sprintf("%s; it is the instance of VMM %s (%s)", text, s.ID, s.Hostname)
		case strings.EqualFold(s.Hostname, name):
			return fmt.Sprintf("%s; it is the hostname of VMM %s", text, s.ID)
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

// completeID completes ids, with hostnames as descriptions.
func (a *app) completeID(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || a.prepare() != nil {
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
		if id := s.ID.String(); strings.HasPrefix(id, begun) {
			offers = append(offers, id[:max(digits, len(begun))]+"\t"+s.Hostname)
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
