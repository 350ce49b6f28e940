// Package archtest holds the rules of the module's architecture: which package
// may import which, and a few habits that a compiler does not enforce. Its test
// applies them to the source tree, so that breaking one fails the build and not
// a review.
//
// The tree is parsed file by file, whatever build tags a file carries: what is
// compiled for illumos alone is held to the rules on every system. A rule about
// a package that does not exist holds.
//
// What does not belong here: anything a standard tool already checks.
package archtest
