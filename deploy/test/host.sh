#!/bin/sh
# A host with systemd for tests, to be sourced: systemd is process 1 in namespaces of its own
# (processes, mounts, control groups, network), on a copy-on-write view of this machine's file
# system, which is not changed. That needs root, unshare, overlayfs, cgroup v2 and systemd; if one
# is missing, this skips.
#
# A script that sources this has set here to the repository, and gets:
#
#	$work            a directory, removed at the end
#	$up              what differs from this machine's files, to be written before host_start
#	host_start       boots the host
#	host_reboot      reboots it; /run, /tmp and the id of the boot are new, the other files are kept
#	on COMMAND...    runs a command on the host
#	until_ WHAT COMMAND...   waits until the command succeeds, else fails
#	ok, fail WHAT
#
# and functions about the agent on the host and its VMs, below.
#
# For a power cut, which loses what was not flushed, see powercut.sh.

# The part inside the namespaces: makes the root and becomes systemd.
if [ "${1-}" = host_boot ]; then
	set -eu
	dir=$2 root=$2/root
	mount --make-rprivate /
	mkdir -p "$root"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/up,workdir=$dir/work" "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	for fs in run tmp dev; do mount -t tmpfs none "$root/$fs"; done
	for node in null zero full random urandom tty; do
		touch "$root/dev/$node"
		mount --bind /dev/$node "$root/dev/$node"
	done
	mkdir "$root/dev/shm" "$root/dev/pts"
	ln -s /proc/self/fd "$root/dev/fd"
	mount -t cgroup2 none "$root/sys/fs/cgroup"
	ip link set lo up
	# The kernel's id of a boot is that of this machine.
	cat /proc/sys/kernel/random/uuid >"$root/run/boot_id"
	mount --bind "$root/run/boot_id" "$root/proc/sys/kernel/random/boot_id"
	container=sled-agent-test exec chroot "$root" /lib/systemd/systemd --unit=test.target --log-target=journal
fi

skip() { echo "SKIP ${0#"$here"/}: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "it takes root"
[ "$(uname -s)" = Linux ] || skip "it takes Linux"
for program in unshare nsenter systemctl journalctl ip pgrep curl go; do
	command -v $program >/dev/null 2>&1 || skip "there is no $program"
done
[ -x /lib/systemd/systemd ] || skip "there is no /lib/systemd/systemd"

# The host's files are on a mount that this script alone has, and that outlives a boot.
if [ -z "${HOST_MOUNTS-}" ]; then
	export HOST_MOUNTS=1
	unshare --mount --propagation private true || skip "it takes a mount namespace"
	exec unshare --mount --propagation private "$0" "$@"
fi

work=$(mktemp -d)
up=$work/host/up
outside=
finish() {
	[ -z "$outside" ] || kill -KILL "$outside" 2>/dev/null || :
	wait 2>/dev/null || :
	# The mount ends with this script's namespace; the host's processes may still have it.
	umount --lazy "$work/host"
	rm -rf "$work"
}
trap finish EXIT
mkdir "$work/host"
mount -t tmpfs none "$work/host"
mkdir "$up" "$work/host/work"
# None of this machine's services are started on the host: only what is enabled there. A
# character device 0:0 hides a file of the lower layer. The host's network has no more than the
# loopback, which is up, so nothing waits for another.
for wants in /usr/lib/systemd/system/*.target.wants /etc/systemd/system/*.wants /etc/rc?.d; do
	[ ! -d "$wants" ] || { mkdir -p "$up${wants%/*}" && mknod "$up$wants" c 0 0; }
done
mkdir -p "$up/etc/systemd/system"
for unit in sysinit.target basic.target network-online.target multi-user.target; do
	printf '[Unit]\nDefaultDependencies=no\n' >"$up/etc/systemd/system/$unit"
done
printf '[Unit]\nRequires=systemd-journald.service\nWants=multi-user.target dbus.socket\nAfter=systemd-journald.service\n' \
	>"$up/etc/systemd/system/test.target"
ln -s /dev/null "$up/etc/systemd/system/systemd-networkd-wait-online.service"
# A fixed one: without, every unit would be enabled at the first boot.
echo 5ed0a6e0000000000000000000000001 >"$up/etc/machine-id"
echo sled >"$up/etc/hostname"

on() { nsenter -t "$init" -m -u -i -n -p -C -r -w "$@"; }
ok() { echo "ok: $*"; }
fail() {
	echo "FAIL: $*"
	[ -n "$outside" ] || exit 1
	cat "$work/console"
	on systemctl status --no-pager --full sled-agent || :
	on journalctl --no-pager -o short-monotonic -n 60 || :
	exit 1
}
until_() {
	what=$1; shift
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.1
	done
	fail "$what"
}

init=
host_found() { init=$(pgrep -P "$outside") && [ "$(cat "/proc/$init/comm")" = systemd ]; }
host_runs() { on systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded'; }
host_boots() {
	unshare --fork --pid --mount --cgroup --uts --ipc --net --kill-child \
		sh "$here/deploy/test/host.sh" host_boot "$work/host" >>"$work/console" 2>&1 &
	outside=$!
	for _ in $(seq 300); do
		kill -0 "$outside" 2>/dev/null || return 1
		if host_found && host_runs; then return 0; fi
		sleep 0.1
	done
	return 1
}
host_start() { host_boots || skip "systemd does not come up in namespaces here: $(cat "$work/console")"; }
host_ended() { ! kill -0 "$outside" 2>/dev/null; }
host_reboot() {
	on systemctl reboot >>"$work/console" 2>&1 || : # The connection may be lost before the answer.
	until_ "the host shuts down" host_ended
	wait "$outside" || :
	host_boots || fail "the host does not come up again"
}

agent() { on systemctl show -P MainPID sled-agent; }
active() { [ "$(on systemctl is-active sled-agent)" = active ]; }
# other PID: there is an agent, in $new, with another PID. For a moment after the end of the
# previous agent the unit is active and has no process.
other() { new=$(agent) && [ "$new" != 0 ] && [ "$new" != "$1" ] && active; }
server() { on pgrep -f "propolis-sim run 127.0.0.1:$1" | head -n 1; }
ctl() { on sledctl "$@"; }

# configure [METRICS]: an agent without a Nexus.
configure() {
	printf '[api]\nlisten = "127.0.0.1:12345"\n[admin]\nmetrics = "%s"\n[nexus]\naddresses = []\n[log]\nformat = "json"\n' "${1-}" |
		on tee /etc/sled-agent/sled-agent.toml >/dev/null
}
# launch PORT: starts a VM, in $id.
launch() {
	id=$(ctl vmm register --hostname "vm-$1" --propolis-addr "127.0.0.1:$1")
	ctl vmm start "$id" >/dev/null
	ctl vmm wait "$id" --for running >/dev/null
}
# same WHAT: the VM of port 12400 still has the process $vm.
same() { [ "$(server 12400)" = "$vm" ] || fail "$1: the VM's process was $vm and is $(server 12400)"; ok "$1"; }
# replaced WHAT: an agent other than $pid serves, and is $pid now; the VM still has the same process.
replaced() { until_ "$1" other "$pid"; pid=$new; until_ "$1: serves" ctl agent; same "$1"; }

# packages DIR VERSION [LINE]: builds the packages of that version in $work/DIR, a copy of the
# tree, with one more comment in the example of a configuration.
packages() {
	mkdir -p "$work/$1"
	(cd "$here" && git ls-files -z -co --exclude-standard | tar cf - --null -T -) | tar xf - -C "$work/$1"
	[ -z "${3-}" ] || echo "# $3" >>"$work/$1/deploy/sled-agent.toml"
	make -C "$work/$1" packages VERSION="$2" SOURCE_DATE_EPOCH=1795440000 >"$work/make" 2>&1 || fail "make packages: $(cat "$work/make")"
}
