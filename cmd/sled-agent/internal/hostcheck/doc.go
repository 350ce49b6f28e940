// Package hostcheck checks whether a host is fit for an agent with a configuration, before
// the agent is started or beside it. It changes nothing, and each check has a budget. What
// is right for the agent does not follow from it: the agent finds out for itself.
package hostcheck
