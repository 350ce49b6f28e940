// Package servertest is a client for tests of a Propolis server. It checks each answer against
// the API's document.
package servertest
