// Package srv finds the replicas of Nexus by DNS: by the SRV records of
// _nexus._tcp.control-plane.oxide.internal at configured servers.
//
// Resolver.Run resolves the name again and again, and reports each new set of replicas. The
// rule of ignorance applies: an answer without records, NXDOMAIN, SERVFAIL, no answer and a
// damaged one prove nothing about the replicas that were known, so they replace no set. Only
// an answer with at least one address does. An address that could not be looked up is that of
// the last answer that had it.
//
// # Bounds
//
// One goroutine, that of Run, asks one server at a time: each for serverBudget at most, and
// each question for queryBudget. Of an answer at most maxReplicas replicas are used; the
// library reads at most 1,232 bytes of a UDP answer and 64 KiB of one over TCP, which is used
// only if the first one was truncated. The time to the next resolution is the answer's TTL,
// within minTTL and maxTTL, and grows from minPause to maxPause after failures.
//
// The sockets, ids of queries and the encoding are those of github.com/miekg/dns.
package srv
