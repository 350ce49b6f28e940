// Package vmm is the pure part of the agent: what states a VMM has, what can
// happen to it and what has to be done then. Step is the one function in which
// every rule about states lives; around it are the types that the agent and its
// APIs speak in (Record, Refusal, Status).
//
// A VMM goes through these phases. Every arrow names the inputs that can lead
// along it; inputs that change no phase are left out.
//
//	registered ├─▶ booting    Start, MigrateIn
//	           ├─▶ removing   MigrateIn, Stop, Unregister, Kill, Expired, Resumed
//	booting    ├─▶ registered Unsaved
//	           ├─▶ ensuring   ZoneBooted
//	           ├─▶ removing   Stop, Unregister, Kill, StartFailed, Expired,
//	           │              Resumed
//	ensuring   ├─▶ active     Ensured
//	           ├─▶ removing   Stop, Unregister, Kill, StartFailed, ZoneEnded,
//	           │              Expired
//	active     ├─▶ stopping   Stop, Observed
//	           ├─▶ removing   Unregister, Kill, Observed, Lost, ZoneEnded, Expired
//	stopping   ├─▶ removing   Unregister, Kill, Observed, Lost, ZoneEnded, Expired
//	removing   ├─▶ ended      ZoneGone
//	           ├─▶ forgotten  ZoneGone
//	ended      ├─▶ forgotten  Unregister, Unsaved, ZoneGone, Published
//
// What holds in every state that can be reached, and is checked there by the
// tests:
//
//   - a pending stop has an armed deadline, or its removal is under way;
//   - a stop's deadline is never moved back, and Propolis is asked to end the guest no
//     later than the newest stop wants;
//   - a terminal state is set once, only after the zone was verified gone;
//   - a stop that was accepted ends as destroyed, however it ended;
//   - what cannot be told (Unsure) and what is only a hint (ZoneChanged) ends
//     nothing and moves no deadline;
//   - generations strictly rise;
//   - a change of the networking alters nothing else;
//   - after an unregister nothing is published;
//   - a VMM is not forgotten while a start or a removal of it is under way.
//
// Nothing here does I/O, starts a goroutine or asks for the time; nothing that
// does may be imported here.
package vmm
