// Package conns is the HTTP server of the sled API, the admin API and the metrics. It
// continues to accept connections after errors of accept(2), and bounds their number.
//
// When a connection arrives and the limit is reached, another one is closed: first the
// one that has been idle for longest, then the one that has been sending its request
// for longest. A connection is not closed in its first half second, nor while a
// received request is being answered. So no client can lock others out by holding
// connections, and a request that is sent at once is read at once.
//
// With TLS the same holds for connections whose handshake is not done.
//
// The meaning of requests does not belong here.
package conns
