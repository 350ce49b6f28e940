// Package admin is the agent's local API, the one behind sledctl: HTTP over a
// unix socket that only the agent's own user may open.
//
//	GET  /v1/agent            About: which agent this is
//	GET  /v1/vmms             every VMM's Status without events, by id (?unhealthy=true: those in trouble)
//	GET  /v1/vmms/{id}        one VMM's Status with its events
//	POST /v1/vmms/{id}/kill   the operator's kill: removal starts now, the VMM ends Destroyed
//	GET  /v1/events           NDJSON, one NamedEvent a line, until either side hangs up
//	                          (?vmm=ID, ?past=N events first, ?follow=false to end after those)
//	GET  /metrics             Prometheus; may be served on TCP too (Server.ServeMetrics)
//
// Errors are {"message": ..., "reason": ...}; reason is that of a vmm.Refusal
// and absent for everything else.
//
// Nothing here may slow the agent down: a Status is read from memory, a reader
// of events that does not keep up loses some and is told how many, and streams,
// connections, bodies and answers are bounded in number, size or time.
//
// What lives here: the Server, its Listen, the Client that sledctl uses, the
// metrics that follow from the VMMs' Status, the Bus that carries events to
// readers, and Troubles, the one definition of an unhealthy VMM. What must not:
// decisions about VMMs. The Server sees the agent through the Agent interface.
package admin
