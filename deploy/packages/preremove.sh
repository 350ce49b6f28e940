#!/bin/sh
# Before a removal, of deb ("remove") and of rpm (0). An upgrade needs nothing: the agent is
# restarted after it.
set -e
case $1 in
remove | 0) ;;
*) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl --quiet disable sled-agent sled-agent-vmms || :
running=$(sledctl vmm list -o name -l 'state!=destroyed,state!=failed' --timeout 10s 2>/dev/null) || running="(unknown: sledctl got no answer)"
systemctl stop sled-agent || :

# Like a stop of the agent, a removal ends no VM.
find /sys/fs/cgroup -path '*/sled-agent.service/*' -name cgroup.events -exec grep -l '^populated 1' {} + 2>/dev/null |
	grep -q . || exit 0
cat >&2 <<END
sled-agent: VMs go on without an agent, which means without deadlines:
$running
To manage them again, install sled-agent and start it: it adopts them. A shutdown of this
host kills them. To end VMs in order before a removal: sledctl drain --wait
END
