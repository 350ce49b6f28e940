// Package admin is the agent's local API, used by sledctl: HTTP over a unix socket that
// only the agent's user can open.
//
//	GET  /v1/agent            About: the agent's description
//	GET  /v1/vmms             every VMM's Status without events, by id (?unhealthy=true: only unhealthy ones)
//	                          (?ended=true: instead the ended ones that are still kept, latest first)
//	GET  /v1/vmms/{id}        one VMM's Status with its events, also of an ended one
//	GET  /v1/vmms/{id}/serial   the VM's serial console, a websocket; below it history, what it has shown
//	POST /v1/vmms/{id}/kill   the operator's kill: removal starts now, the VMM ends Destroyed
//	GET, PUT, DELETE /v1/drain   the sled's disposition; PUT drains it (?grace=2m), DELETE ends the drain
//	GET  /v1/zones            ZoneList: the agent's zones, those that belong to no VMM included
//	DELETE /v1/zones/{name}   the operator's removal of a zone that belongs to no VMM
//	GET  /v1/events           NDJSON, one NamedEvent a line, until either side closes
//	                          (?vmm=ID, ?past=N events first, ?follow=false to end after those)
//	/v1/sled/...              the sled API, for operators: who asked is recorded, and no role is needed
//	GET  /v1/health, /v1/ready   whether deadlines can be kept, and whether the agent serves: 200 or 503
//	GET  /v1/config           the configuration in force, without secrets
//	POST /v1/reload           reads the configuration again; 409 if it is wrong, and nothing has changed
//	GET, PUT, DELETE /v1/log-level   the log's level; PUT sets it for a while (?level=debug&for=10m)
//	GET  /v1/goroutines       what the process's goroutines do, as text
//	GET  /v1/openapi.json     the OpenAPI document of this API, openapi.json
//	GET  /metrics             Prometheus; may be served on TCP too, with /healthz (Server.ServeMetrics)
//
// Errors are {"message": ..., "reason": ...}; reason is that of a vmm.Refusal and absent
// otherwise.
//
// No client can slow the agent down: a Status is read from memory, a slow reader of
// events loses some and receives their number, and streams, connections, bodies and
// answers are bounded in number, size or time.
//
// The package has the Server, its Listen, the Client for sledctl, the metrics computed
// from the VMMs' Status, the Bus for events, and Troubles, which defines an unhealthy
// VMM. It makes no decisions about VMMs: the Server uses the Agent interface.
package admin
