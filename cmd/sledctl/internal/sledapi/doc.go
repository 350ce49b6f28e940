// Package sledapi is a client of the sled API's VMM paths, those that Nexus
// calls: just enough of it to play Nexus by hand. What must not live here:
// anything of the agent's own admin API, and retries, which are Nexus's.
package sledapi
