package usage_test

import (
	"testing"

	"github.com/spf13/cobra"

	"github.com/sledagent/sledagent/internal/usage"
)

func TestNoSuchCommand(t *testing.T) {
	t.Parallel()
	do := func(*cobra.Command, []string) {}
	top := &cobra.Command{Use: "top", Args: usage.NoSuchCommand}
	top.AddCommand(&cobra.Command{Use: "list", Run: do}, &cobra.Command{Use: "start", Run: do}, &cobra.Command{Use: "stop", Run: do})
	for arg, want := range map[string]string{
		"lisst": `unknown command "lisst" for "top"; did you mean list?`,
		"st":    `unknown command "st" for "top"; did you mean list or start or stop?`,
		"xyzzy": `unknown command "xyzzy" for "top"`,
	} {
		if err := usage.NoSuchCommand(top, []string{arg}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", arg, err, want)
		}
	}
	if err := usage.NoSuchCommand(top, nil); err != nil {
		t.Error(err)
	}
}
