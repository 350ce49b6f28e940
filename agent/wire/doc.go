// Package wire says what the bodies of the sled-agent API are: how they are
// read, what they must hold, and what the agent takes from them.
//
// A body becomes a tree of values (tree.go), the tree is checked against rules
// that mirror the API's document (rule.go; the rules themselves are in
// network.go, spec.go and ensure.go), and only then is anything read out of it
// (decode.go). An Error names the field by its path and says what was wanted
// and what was there. The instance spec is checked and passed on as it came, to
// the byte, because Propolis and not this agent is its reader.
//
// The rules are as lenient as the reference server (Omicron's sled-agent, API
// 48) where Nexus could notice: unknown fields are ignored except inside spec
// components, an absent optional field and a null one are the same, UUIDs may
// be written in any of their forms, and what follows the first JSON value is
// not looked at. They are stricter where the reference fails late or does
// something nobody wants: keys that occur twice, a NIC without a backend, a VMM
// that is registered as already ended.
//
// What must not live here: HTTP (package api), decisions about VMMs (package
// vmm), and whatever the bodies do not say.
package wire
