package standin

import (
	"fmt"
	"os"
)

// exitTrouble is the status of a process of the stand-in that could not do its
// own work. No command that it stands for uses it.
const exitTrouble = 125

// A trouble is a failure of the stand-in itself, never a simulated one. It is
// thrown, so that what is simulated reads like what it simulates.
type trouble struct{ err error }

func (t trouble) Error() string { return "illumos-standin: " + t.err.Error() }

func check(err error) {
	if err != nil {
		panic(trouble{err})
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// endInTrouble ends the process if trouble was thrown. It has to be deferred.
func endInTrouble() {
	switch t := recover().(type) {
	case nil:
	case trouble:
		fmt.Fprintln(os.Stderr, t.Error())
		os.Exit(exitTrouble)
	default:
		panic(t)
	}
}
