// Package usage has what the programs' command lines have in common beside cobra's own.
package usage

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// similar is how many letters may differ between a command and a suggestion. It is cobra's
// default, which cobra does not apply to subcommands.
const similar = 2

// NoSuchCommand is the Args of a command that only has subcommands: an argument is an error
// that suggests what may have been meant. Without it, cobra prints the help and succeeds.
func NoSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = similar
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%s", text)
}
