// Package meter counts and times what becomes of VMMs: how they end, how much of a grace
// a stop uses, how late a deadline is noticed, how long the steps of a removal and the
// publishing of a record take. It decides nothing. Recording takes no lock that is held
// over I/O, and the number of label values is fixed.
package meter
