package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// docsCommand writes the man pages for packages.
func docsCommand() *cobra.Command {
	docs := group("docs", "Write sledctl's documentation", &cobra.Command{
		Use:     "man DIR",
		Short:   "Write a man page for each command",
		Example: "  sledctl docs man ./man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make directory for man pages: %w", err)
			}
			// Commands of their own: the defaults on the pages do not depend on who writes them.
			root := (&app{Env: Env{Version: "-", Getenv: func(string) string { return "" }}}).root()
			root.InitDefaultCompletionCmd()
			return writeManPages(root, args[0])
		},
	})
	docs.Hidden = true
	return docs
}

// writeManPages writes the page of a command and those of its subcommands.
func writeManPages(cmd *cobra.Command, dir string) error {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if err := writeManPages(sub, dir); err != nil {
			return err
		}
	}
	file := filepath.Join(dir, pageName(cmd)+".1")
	if err := os.WriteFile(file, []byte(manPage(cmd)), 0o644); err != nil {
		return fmt.Errorf("write man page: %w", err)
	}
	return nil
}
