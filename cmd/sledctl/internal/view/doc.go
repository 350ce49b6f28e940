// Package view formats the agent's answers for people: tables, one VMM's page with its
// timeline, lines of events, charts of package life. It is pure: the output depends only on the data, the time
// and the terminal. It makes no requests, has no flags and no JSON. admin.Troubles
// alone decides which VMMs are in trouble.
package view
