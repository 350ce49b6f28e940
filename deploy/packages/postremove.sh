#!/bin/sh
# After a removal, of deb ("remove", "purge") and of rpm (0).
set -e
case $1 in
remove | purge | 0) ;;
*) exit 0 ;;
esac
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ "$1" = purge ] || exit 0

# By its state an agent adopts VMs that still run, and proves that they have ended.
if find /sys/fs/cgroup -path '*/sled-agent.service/*' -name cgroup.events -exec grep -l '^populated 1' {} + 2>/dev/null |
	grep -q .; then
	echo "sled-agent: VMs still run, so their state in /var/lib/sled-agent is kept" >&2
	exit 0
fi
rm -rf /var/lib/sled-agent
