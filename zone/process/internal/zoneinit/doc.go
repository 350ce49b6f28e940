// Package zoneinit is the first process of a zone: a small init that starts
// one server, reaps whatever loses its parent, keeps the server's log, writes
// down how the server ended and then takes the rest of the zone with it.
//
// Between its start and its server's there is a handshake over a socket:
//
//	agent                              init
//	fork, exec                 ------> waits
//	records pid and start time
//	Job                        ------> starts the server
//	                           <------ Reply
//	                                   closes the socket
//
// The end of the socket before the Job means that the agent died before it had
// written down whom it started: the init leaves without having started
// anything, so no zone ever runs that nobody knows. Once the Job is there, the
// agent's life no longer matters.
//
// What must not live here: anything that the agent itself runs.
package zoneinit
