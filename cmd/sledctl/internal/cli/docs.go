package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// docsCommand writes the man pages for packages.
func docsCommand() *cobra.Command {
	docs := group("docs", "Write sledctl's documentation", &cobra.Command{
		Use:     "man DIR",
		Short:   "Write a man page for each command",
		Example: "  sledctl docs man ./man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make directory for man pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			// With today's date every build would differ from the last.
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "sled-agent", Date: &manDate}, args[0])
		},
	})
	docs.Hidden = true
	return docs
}

// manDate is the date on the pages.
var manDate = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
