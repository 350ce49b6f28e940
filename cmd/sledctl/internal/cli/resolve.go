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

// resolve finds the VMM that an id or the beginning of one names. A whole id is
// taken as it is, so that it works where the admin socket does not.
func (a *app) resolve(ctx context.Context, name string) (uuid.UUID, error) {
	name = strings.ToLower(strings.TrimSpace(name))
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
	var found []vmm.Status
	for _, s := range all {
		if strings.HasPrefix(s.ID.String(), name) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0].ID, nil
	case 0:
		return uuid.Nil, &exitError{code: exitNotFound, err: errors.New(notFound(name, all))}
	}
	return uuid.Nil, fail(exitUsage, "%s could be any of:\n%s", name, candidates(found))
}

// notFound says that no VMM's id begins so, and which VMM may have been meant:
// the instance's id and the hostname are what users and Nexus's tools show.
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

// maxCandidates bounds how many VMMs an ambiguous prefix's error names.
const maxCandidates = 10

func candidates(found []vmm.Status) string {
	var lines []string
	for i, s := range found {
		if i == maxCandidates {
			lines = append(lines, fmt.Sprintf("  and %d more", len(found)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("  %s  %s", s.ID, s.Hostname))
	}
	return strings.Join(lines, "\n")
}

// completeID offers the VMMs that are there, with their names, to the shell.
func (a *app) completeID(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || a.prepare() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := a.bounded(cmd.Context(), requestTimeout)
	defer cancel()
	all, err := a.admin.List(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []string
	digits := view.PrefixLength(all)
	for _, s := range all {
		if id := s.ID.String(); strings.HasPrefix(id, begun) {
			offers = append(offers, id[:max(digits, len(begun))]+"\t"+s.Hostname)
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
