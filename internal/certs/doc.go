// Package certs holds TLS certificates that are read from files, and reads them again when the
// files change.
//
// One goroutine, that of Store.Watch, reads the files; handshakes use what was read last and
// never wait for a disk. Files that cannot be used, such as a certificate whose key was not
// replaced yet, change nothing: the last good ones stay in use.
//
// Only TLS 1.3 is spoken, and sessions are not resumed, so that each connection proves its
// certificate against the present files.
package certs
