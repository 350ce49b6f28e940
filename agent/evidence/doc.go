// Package evidence saves what can only be known while a VM still runs, in the last moments
// before its zone is removed by force: its processes and what they do, what Propolis
// answered last, and what configured commands print. A collection is a directory
//
//	<dir>/<VMM's id>-<UTC time>
//
// with a file for each part; the commands' files begin with the number of the command.
//
// Evidence is never worth a delay. A collection is made within its context, beside the
// deadline and not before it: nothing waits for its end, and parts that hang are left
// behind. The number of collections under way is bounded, also of those that hang. So is
// the size of each, and size and age of all: the oldest are deleted first. A disk that is
// full or hangs loses evidence, which is counted.
//
// What a zone says of itself is untrusted: all text is made plain, and no name of a file
// comes from it.
//
// When a collection is made, and what becomes of it, does not belong here.
package evidence
