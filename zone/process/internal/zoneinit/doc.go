// Package zoneinit is the first process of a zone: a small init that starts one
// server, reaps orphans, keeps the server's log, records how the server ended and then
// kills the rest of the zone.
//
// A handshake over a socket precedes the start of the server:
//
//	agent                              init
//	fork, exec                 ------> waits
//	records pid and start time
//	Job                        ------> starts the server
//	                           <------ Reply
//	                                   closes the socket
//
// If the socket is closed before the Job arrives, the agent died before it had
// recorded the init. The init then exits without having started anything, so no zone
// runs that is not recorded. After the Job the init no longer depends on the agent.
//
// Nothing that the agent itself runs belongs here.
package zoneinit
