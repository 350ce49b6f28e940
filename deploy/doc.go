// Package deploy has the files with which a host's service manager and packager install and
// run the agent: the SMF manifest and method, the IPS manifest, the systemd unit and an
// example configuration. Its only code is tests of what the agent requires of those files.
package deploy
