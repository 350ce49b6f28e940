// Package wire decodes and validates the bodies of the sled-agent API.
//
// openapi.json describes the newest version of the API, older.json what older versions
// had instead (version.go). A body is checked against the document of its version by
// package dropshot, then decoded (decode.go; the local configuration, which differs
// between versions, in config.go), then checked for what a schema cannot say
// (consistent.go). An Error has the field's path, what was expected and what was found.
// The instance spec is validated and passed on unchanged, since it is for Propolis.
//
// The document is as lenient as the reference server (Omicron's sled-agent) where Nexus
// could notice: unknown fields are ignored except inside spec components, a missing
// optional field equals a null one, UUIDs may have any of their forms, and input after
// the first JSON value is ignored. What Nexus can store and the agent does not use
// passes, such as a range of ICMP codes upside down. It is stricter where the reference
// fails late or misbehaves: duplicate keys, a NIC without a backend, a VMM registered in
// a terminal state, external addresses in the form of another version.
//
// HTTP is package api's, decisions about VMMs are package vmm's.
package wire
