// Package vmm is the pure part of the agent: what states a VMM has, what can
// happen to it and what has to be done then. Step is the one function in which
// every rule about states lives; around it are the types that the agent and its
// APIs speak in (Record, Refusal, Status).
//
// A VMM goes through these phases. Every arrow names the inputs that can lead
// along it; inputs that change no phase are left out.
//
//	registered ├─▶ booting    Start, MigrateIn
//	           ├─▶ removing   MigrateIn, Stop, Unregister, Kill, HostRebooted
//	booting    ├─▶ ensuring   ZoneBooted
//	           ├─▶ removing   Stop, Unregister, Kill, StartFailed, ZoneEnded,
//	           │              Expired, ZoneGone, HostRebooted
//	ensuring   ├─▶ active     Ensured
//	           ├─▶ removing   Stop, Unregister, Kill, StartFailed, ZoneEnded,
//	           │              Expired, ZoneGone, HostRebooted
//	active     ├─▶ stopping   Stop, Observed
//	           ├─▶ removing   Unregister, Kill, Observed, Lost, ZoneEnded, Expired,
//	           │              ZoneGone, HostRebooted
//	stopping   ├─▶ removing   Unregister, Kill, Observed, Lost, ZoneEnded, Expired,
//	           │              ZoneGone, HostRebooted
//	removing   ├─▶ ended      ZoneGone
//	           ├─▶ forgotten  ZoneGone
//	ended      ├─▶ forgotten  Unregister, Acked, GaveUp
//
// What holds in every state that can be reached, and is checked there by the
// tests:
//
//   - a pending stop has an armed deadline, or its removal is under way;
//   - a terminal state is set once, only after the zone was verified gone;
//   - a stop that was accepted ends as destroyed, however it ended;
//   - generations strictly rise;
//   - a deadline of an epoch that is not armed has no effect;
//   - after an unregister nothing is published.
//
// Nothing here does I/O, starts a goroutine or asks for the time; nothing that
// does may be imported here.
package vmm
