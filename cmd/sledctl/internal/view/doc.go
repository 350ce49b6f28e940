// Package view turns what the agent says into text for people: tables, one
// VMM's page with its timeline, lines of events. It is pure: the same data at
// the same moment on the same terminal gives the same text. What must not live
// here: requests, flags, JSON, and any opinion on who is in trouble, which is
// admin.Troubles's alone.
package view
