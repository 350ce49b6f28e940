package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// softFlag is --soft: the time that a guest has after its power button was pressed.
type softFlag struct{ given *time.Duration }

func (f *softFlag) add(cmd *cobra.Command, usage string) { cmd.Flags().Var(f, "soft", usage) }

func (f *softFlag) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("want a duration such as 30s")
	}
	if d < 0 {
		return errors.New("must not be negative")
	}
	f.given = &d
	return nil
}

func (f *softFlag) Type() string { return "duration" }

func (f *softFlag) String() string {
	if f.given == nil {
		return ""
	}
	return f.given.String()
}
