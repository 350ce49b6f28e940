#!/bin/sh
# After an installation, of deb ("configure", with the previous version if there was one) and of
# rpm (1, and for an upgrade 2).
#
# Nothing is enabled or started: the operator does that after writing the configuration. By the
# default one every user of the host may start VMs, and Nexus is expected on it.
set -e
case $1 in
configure | 1 | 2) ;;
*) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl is-active --quiet sled-agent || exit 0

# After an upgrade. The agent that runs keeps the deadlines of its VMs; a new one that does not
# accept the configuration would not.
config=/etc/sled-agent/sled-agent.toml
if ! sled-agent check --config $config >/dev/null; then
	echo "sled-agent: this version does not accept $config, so the previous one goes on." >&2
	echo "Correct the file, then: systemctl restart sled-agent" >&2
	exit 0
fi
# VMs go on; the new agent adopts them. sled-agent-vmms is left alone: its stop stops all VMs.
systemctl try-restart sled-agent || echo "sled-agent: it does not start, see: journalctl -u sled-agent" >&2
