// Package api is the HTTP API that Nexus calls, compatible on the wire with
// Omicron's sled-agent API, in its versions 1 to 54. docs/compatibility.md compares them.
//
//	PUT    /vmms/{propolis_id}                            register a VMM
//	DELETE /vmms/{propolis_id}                            unregister it; 200 also if there is none
//	PUT    /vmms/{propolis_id}/state                      run, stop (?grace=30s), reboot, migrate in
//	GET    /vmms/{propolis_id}/state                      its record, from memory
//	POST   /vmms/{propolis_id}/disks/{disk_id}/snapshot   snapshot a disk
//	GET    /zones                                         the running zones
//	GET    /sled-identifiers                              the sled's identifiers
//	GET    /inventory, PUT /omicron-config                the sled, and whether it takes VMMs
//	       /vmms/{propolis_id}/external-ip,               a VMM's networking (ports.go)
//	       .../multicast-group, .../attached-subnets
//	GET    /zones/bundles[/{zone}[/{id}]]                 evidence of forced and failed ends (bundles.go)
//	DELETE /zones/bundles/{zone}/{id}
//	       /zones/bundle-cleanup[/utilization|/context]
//	GET    /support/zoneadm-info                          the host's list of zones, as text (support.go)
//	       /vpc/{id}/firewall/rules, /vpc-routes, /v2p,   recorded and not applied (vpc.go)
//	       /eip-gateways, /probes
//	GET    /openapi.json                                  the API's document, in any version
//
// A request passes, in this order: its api-version (version.go), its path (path.go), the
// router, its body (body.go, package wire), the Agent. Every error becomes a problem
// (problem.go), which alone assigns status codes. 404 with NO_SUCH_INSTANCE makes Nexus
// declare a VMM failed, so only vmm.Unknown may get it.
//
// No client can delay another. Connections are bounded, and so is the memory of bodies
// that are being read (bodies.go); slow ones are cut off. Other calls are refused with
// 503 while many are in progress; stops, unregisters and reads of a state never are.
//
// Operations are detached from their requests: a client that disconnects cancels
// nothing. Each has a budget instead, shorter than the 60 seconds for which Nexus waits.
//
// The package makes no decisions about VMMs and keeps no state of them: the server uses
// the Agent interface.
package api
