package zone

import "fmt"

// A Verdict is the answer to whether something that existed still does. The zero
// value is CannotTell, on which nothing may be decided.
type Verdict int

const (
	// CannotTell: it is unknown whether it exists.
	CannotTell Verdict = iota
	// Present: it exists.
	Present
	// Ended: it is proven that it no longer exists.
	Ended
)

// Judge decides by one look and its error whether the boot of a zone that was
// recorded as incarnation still runs. why is the reason of a verdict other than
// Present.
func Judge(i Info, err error, incarnation string) (v Verdict, why string) {
	switch {
	case err != nil:
		return CannotTell, err.Error()
	case i.State == Unknown:
		return CannotTell, "the zone's state cannot be determined" + detail(i)
	case i.State != Running:
		return Ended, fmt.Sprintf("zone is %s", i.State) + detail(i)
	case i.Incarnation == "" && incarnation != "":
		return CannotTell, "zone is running, but which boot of it cannot be determined"
	case i.Incarnation != incarnation && incarnation != "":
		return Ended, fmt.Sprintf("zone was booted again: it is %s, not %s", i.Incarnation, incarnation)
	}
	return Present, ""
}

func detail(i Info) string {
	if i.Detail == "" {
		return ""
	}
	return ": " + i.Detail
}
