package main

import "testing"

// An unknown ledger command is an error and does not print help.
func TestUnknownLedgerCommand(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"ledger", "chek"}, {"ledger", "chek", "--config", "x"}, {"ledger", "check"}} {
		if got := execute(args); got != exitUsage {
			t.Errorf("%v: exit status %d", args, got)
		}
	}
	if got := execute([]string{"ledger"}); got != 0 {
		t.Errorf("help: exit status %d", got)
	}
}
