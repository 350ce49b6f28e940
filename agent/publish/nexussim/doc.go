// Package nexussim is a simulated Nexus, reduced to the one call that the agent
// makes of it: PUT /vmms/{propolis_id} of the internal API, version 1.0.0. It
// checks a request as strictly as the real server, keeps the record by the
// rules of the real database, and notices when a sled contradicts itself.
//
//	arrive ──> decode ──> judge ──> faults ──> apply ──> answer
//	           400, 404   violations  none of these can undo a violation
//
// What lives here: the wire of that call, the tables behind it (see table),
// faults on request (see Faults) and the control routes for tests and scripts.
// What must not: anything of the agent but the record's type. The package is
// written from the contract and not from the publisher, so that the one can
// show the other's mistakes.
//
// Control routes, on the control listener and, save for faults that close it,
// on the main one; they need no api-version header and feel no fault:
//
//	GET  /vmms            every row
//	GET  /vmms/{id}       one row
//	GET  /sim/puts        the last PUTs (?since=SEQ leaves out the older ones)
//	GET  /sim/violations  what a truthful sled would never have sent
//	GET  /sim/faults      the faults in force
//	PUT  /sim/faults      ["status=503","delay=1s@VMM"], replaces all
//	POST /sim/vmms        {"ids":[...]}: from now on only these and earlier such exist
//	POST /sim/migrations  {"id":...,"source":VMM,"target":VMM,"deleted":false}
package nexussim
