// Package dropshot checks request bodies against OpenAPI documents, as the servers of the
// reference do, which are built on the framework of that name. It is for the sled API and for
// the simulated servers of Propolis and Nexus; each has a document that describes its
// requests. For the simulators it also has the rules of the api-version header, routing, the
// reading of bodies, x-request-id and the error body. Raw is for malformed answers.
//
// A body becomes a tree (tree.go), which kin-openapi checks (check.go) with the formats of
// format.go. An Invalid has the field's path, what was expected and what was found, since
// kin-openapi's own texts are about the schema. Besides the schema, a body must be UTF-8,
// without duplicate keys, and not too deep or large; a number with a fraction or an exponent
// is not an integer; data after the first value is ignored.
package dropshot
