// Package nexussim is a simulated Nexus with the one call that the agent makes: PUT
// /vmms/{propolis_id} of the internal API, version 1.0.0. It validates a request as
// strictly as the real server, stores the record by the rules of the real database, and
// detects contradictions between a sled's records.
//
//	arrive ──> decode ──> judge ──> faults ──> apply ──> answer
//	           400, 404   violations  a fault does not undo a violation
//
// The package has the wire format of that call, the tables behind it (see apply), faults
// (see Faults) and control routes for tests and scripts. It uses nothing of the agent but
// the record's type: it is written from the contract, so that it can detect mistakes of
// the client.
//
// The control routes are served on the control listener and, except faults that close
// it, on the main one. They need no api-version header and are not subject to faults.
// nexus-sim run --help lists them.
package nexussim
