package demo

// A role is what one VMM of the demonstration does when its end has come.
type role struct {
	name string
	// story says what the VMM does, as in "this VMM ...".
	story string
	// faults are propolis-sim's, set once the VMM runs.
	faults []string
	// byItself: nobody asks for the stop, the guest powers itself off.
	byItself bool
	// stubborn: it would run for ever if it were not removed by force.
	stubborn bool
}

// cast is in the order in which the VMMs are shown.
func cast() []role {
	return []role{
		{name: "obedient", story: "shuts down when it is asked to"},
		{name: "deaf", story: "says yes to the stop and keeps running", faults: []string{"ignore-stop"}, stubborn: true},
		{name: "hung", story: "never answers the request to stop", faults: []string{"hang-stop"}, stubborn: true},
		{name: "crasher", story: "crashes in the middle of stopping", faults: []string{"crash-in-stopping"}},
		{name: "quitter", story: "is powered off by its own guest", byItself: true},
	}
}
