// Package report gathers what a report of a bug needs into one archive: what the agent
// says of itself and of its VMMs, the end of its log, and facts about the host.
//
// Everything is bounded in size and time. A part that cannot be had is missing, and the
// archive's README says so: a report is needed most when an agent answers half or not at
// all. Secrets are left out by the agent (of its configuration) and masked here (in logs).
package report
