// Package deploy holds what a host's service manager and packager need to run
// the agent: the SMF manifest and method, the IPS manifest, the systemd unit and
// an example of a configuration. It has no code but the tests that hold those
// files to what the agent relies on.
package deploy
