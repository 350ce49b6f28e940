// Package bundle keeps zone bundles: what the agent knows about zones that were ended by
// force or have failed, for those who find out why. A bundle is an archive in
//
//	<dir>/<zone>/<id>.tar.gz
//
// with metadata.toml, and status.json, server.log, console.log and evidence/ where there is
// something for them.
//
// One goroutine makes, deletes and cleans up bundles. Callers hand work over and never
// wait for the disk to make a bundle: if the disk hangs or is full, bundles are lost and
// counted, and nothing else is delayed. An archive gets its name once it is whole and on
// disk, so an agent that is killed leaves at most a file without that name, which the next
// one removes. The list is in memory. It is read at the start from the beginning of each
// archive, where the metadata is.
//
// Evidence is collected elsewhere.
package bundle
