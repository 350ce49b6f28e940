// Package disposition keeps, across restarts, whether this sled takes new VMMs.
//
// Two parties decide, and a sled that either of them evacuates is evacuated:
//
//	the operator, by a drain, in operator-drain.json
//	Nexus, by the sled configuration, in omicron-sled-config.json
//
// The newest sled configuration is kept as it was sent, for the inventory. Of its
// contents only the generation and the update disposition are used; zones, disks and
// datasets are recorded and nothing is done about them.
//
// A file that cannot be read may say that the sled is evacuated, so it counts as if it
// did: new VMMs are refused, and nothing else follows from it. It is replaced by the
// next drain, undrain or configuration.
//
// A drain takes effect at once and is written then; a disk that fails or hangs does not
// delay it. What makes the sled available again is on disk before it takes effect.
package disposition
