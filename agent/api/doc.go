// Package api is the HTTP API that Nexus calls, compatible on the wire with
// Omicron's sled-agent API 48.
//
//	PUT    /vmms/{propolis_id}                            register a VMM
//	DELETE /vmms/{propolis_id}                            unregister it; 200 also if there is none
//	PUT    /vmms/{propolis_id}/state                      run, stop (?grace=30s), reboot, migrate in
//	GET    /vmms/{propolis_id}/state                      its record, from memory
//	POST   /vmms/{propolis_id}/disks/{disk_id}/snapshot   snapshot a disk
//	GET    /zones                                         the zones that run
//	GET    /sled-identifiers                              which sled this is
//
// A request passes, in this order: its api-version (version.go), its path
// (path.go), the router, its body (body.go, package wire), the Agent. Whatever
// goes wrong becomes a problem (problem.go), the one place where errors get
// their status code. 404 with NO_SUCH_INSTANCE makes Nexus declare a VMM failed,
// so nothing but vmm.Unknown may get it.
//
// Operations are detached from their requests: a client that gives up cancels
// nothing. Each has a budget instead, shorter than the 60 seconds for which
// Nexus waits.
//
// What must not live here: decisions about VMMs. The server sees the agent
// through the Agent interface and keeps no state of its own.
package api
