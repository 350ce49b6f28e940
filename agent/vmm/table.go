package vmm

// A rule decides one input in one phase. Without do the input is ignored, and
// why says for what reason it is right to.
type rule struct {
	do func(*step)
	// to lists the phases that the rule may lead to; none means that it stays.
	to  []Phase
	why string
}

func stays(do func(*step)) rule              { return rule{do: do} }
func leads(do func(*step), to ...Phase) rule { return rule{do: do, to: to} }
func ignored(why string) rule                { return rule{why: why} }

var (
	terminating = stays(refuse(Terminating, "the VMM is stopping"))
	noPropolis  = stays(refuse(NotRunning, "it has not started"))
	unknown     = stays(refuse(Unknown, ""))

	notStarted = ignored("nothing was started that could report it")
	late       = ignored("the report of an effect that was superseded")
	dying      = ignored("it ends already, and why is decided")
	notLast    = ignored("only the terminal record's acknowledgement matters")
	over       = ignored("its zone is gone")
)

// table decides every input in every phase. The diagram in the package's doc is
// drawn from it.
var table = [numPhases][numKinds]rule{
	Registered: {
		KindStart:       leads(start, Booting),
		KindMigrateIn:   leads(migrateIn, Booting, Removing),
		KindStop:        leads(stopUnstarted, Removing),
		KindReboot:      noPropolis,
		KindUnregister:  leads(unregister, Removing),
		KindKill:        leads(kill, Removing),
		KindZoneBooted:  notStarted,
		KindEnsured:     notStarted,
		KindStartFailed: notStarted,
		KindAnswered:    notStarted,
		KindObserved:    notStarted,
		KindLost:        notStarted,
		KindZoneEnded:   notStarted,
		KindExpired:     ignored("no deadline is armed"),
		KindZoneGone:    notStarted,
		KindAcked:       notLast,
		KindGaveUp:      notLast,
		KindResumed:     stays(resumeIdle),
		KindRebooted:    leads(rebootedHost, Removing),
	},
	Booting: {
		KindStart:       stays(answer),
		KindMigrateIn:   stays(answer),
		KindStop:        leads(stopUnstarted, Removing),
		KindReboot:      noPropolis,
		KindUnregister:  leads(unregister, Removing),
		KindKill:        leads(kill, Removing),
		KindZoneBooted:  leads(zoneBooted, Ensuring),
		KindEnsured:     late,
		KindStartFailed: leads(startFailed, Removing),
		KindAnswered:    late,
		KindObserved:    late,
		KindLost:        late,
		KindZoneEnded:   leads(zoneEnded, Removing),
		KindExpired:     leads(expired, Removing),
		KindZoneGone:    leads(zoneGoneUnasked, Removing),
		KindAcked:       notLast,
		KindGaveUp:      notLast,
		KindResumed:     stays(resumeBooting),
		KindRebooted:    leads(rebootedHost, Removing),
	},
	Ensuring: {
		KindStart:       stays(answer),
		KindMigrateIn:   stays(answer),
		KindStop:        leads(stopUnstarted, Removing),
		KindReboot:      noPropolis,
		KindUnregister:  leads(unregister, Removing),
		KindKill:        leads(kill, Removing),
		KindZoneBooted:  late,
		KindEnsured:     leads(ensured, Active),
		KindStartFailed: leads(startFailed, Removing),
		KindAnswered:    late,
		KindObserved:    late,
		KindLost:        late,
		KindZoneEnded:   leads(zoneEnded, Removing),
		KindExpired:     leads(expired, Removing),
		KindZoneGone:    leads(zoneGoneUnasked, Removing),
		KindAcked:       notLast,
		KindGaveUp:      notLast,
		KindResumed:     stays(resumeEnsuring),
		KindRebooted:    leads(rebootedHost, Removing),
	},
	Active: {
		KindStart:       stays(answer),
		KindMigrateIn:   stays(answer),
		KindStop:        leads(stopActive, Stopping),
		KindReboot:      stays(reboot),
		KindUnregister:  leads(unregister, Removing),
		KindKill:        leads(kill, Removing),
		KindZoneBooted:  late,
		KindEnsured:     late,
		KindStartFailed: late,
		KindAnswered:    stays(answeredActive),
		KindObserved:    leads(observedActive, Stopping, Removing),
		KindLost:        leads(lost, Removing),
		KindZoneEnded:   leads(zoneEnded, Removing),
		KindExpired:     leads(expired, Removing),
		KindZoneGone:    leads(zoneGoneUnasked, Removing),
		KindAcked:       notLast,
		KindGaveUp:      notLast,
		KindResumed:     stays(resumeActive),
		KindRebooted:    leads(rebootedHost, Removing),
	},
	Stopping: {
		KindStart:       terminating,
		KindMigrateIn:   terminating,
		KindStop:        stays(stopAgain),
		KindReboot:      terminating,
		KindUnregister:  leads(unregister, Removing),
		KindKill:        leads(kill, Removing),
		KindZoneBooted:  late,
		KindEnsured:     late,
		KindStartFailed: late,
		KindAnswered:    stays(answered),
		KindObserved:    leads(observedStopping, Removing),
		KindLost:        leads(lost, Removing),
		KindZoneEnded:   leads(zoneEnded, Removing),
		KindExpired:     leads(expired, Removing),
		KindZoneGone:    leads(zoneGoneUnasked, Removing),
		KindAcked:       notLast,
		KindGaveUp:      notLast,
		KindResumed:     stays(resumeStopping),
		KindRebooted:    leads(rebootedHost, Removing),
	},
	Removing: {
		KindStart:       terminating,
		KindMigrateIn:   terminating,
		KindStop:        stays(stopRemoving),
		KindReboot:      terminating,
		KindUnregister:  stays(unregisterRemoving),
		KindKill:        stays(stopRemoving),
		KindZoneBooted:  late,
		KindEnsured:     late,
		KindStartFailed: late,
		KindAnswered:    late,
		KindObserved:    dying,
		KindLost:        dying,
		KindZoneEnded:   dying,
		KindExpired:     dying,
		KindZoneGone:    leads(zoneGone, Ended, Forgotten),
		KindAcked:       notLast,
		KindGaveUp:      notLast,
		KindResumed:     stays(resumeRemoving),
		KindRebooted:    stays(resumeRemoving),
	},
	Ended: {
		KindStart:       terminating,
		KindMigrateIn:   terminating,
		KindStop:        stays(answer),
		KindReboot:      terminating,
		KindUnregister:  leads(unregisterEnded, Forgotten),
		KindKill:        stays(answer),
		KindZoneBooted:  over,
		KindEnsured:     over,
		KindStartFailed: over,
		KindAnswered:    over,
		KindObserved:    over,
		KindLost:        over,
		KindZoneEnded:   over,
		KindExpired:     over,
		KindZoneGone:    over,
		KindAcked:       leads(acked, Forgotten),
		KindGaveUp:      leads(gaveUp, Forgotten),
		KindResumed:     stays(resumeEnded),
		KindRebooted:    stays(resumeEnded),
	},
	Forgotten: {
		KindStart:       unknown,
		KindMigrateIn:   unknown,
		KindStop:        unknown,
		KindReboot:      unknown,
		KindUnregister:  stays(answer),
		KindKill:        unknown,
		KindZoneBooted:  over,
		KindEnsured:     over,
		KindStartFailed: over,
		KindAnswered:    over,
		KindObserved:    over,
		KindLost:        over,
		KindZoneEnded:   over,
		KindExpired:     over,
		KindZoneGone:    over,
		KindAcked:       over,
		KindGaveUp:      over,
		KindResumed:     stays(resumeForgotten),
		KindRebooted:    stays(resumeForgotten),
	},
}
