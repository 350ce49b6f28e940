#!/bin/sh
# Runs the agent as a unit of a real systemd and subjects it to what happens to services.
#
# systemd is process 1 in namespaces of its own (processes, mounts, control groups, network),
# on a copy-on-write view of this host's file system: the host is not changed. That needs root,
# unshare, overlayfs, cgroup v2 and systemd; if one is missing, this skips. For a power cut and
# a reboot of the host see powercut.sh.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
skip() { echo "SKIP deploy/test/systemd.sh: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "it takes root"
[ "$(uname -s)" = Linux ] || skip "it takes Linux"
for program in unshare nsenter systemctl journalctl ip pgrep curl go; do
	command -v $program >/dev/null 2>&1 || skip "there is no $program"
done
systemd=/lib/systemd/systemd
[ -x $systemd ] || skip "there is no $systemd"

# Inside the namespaces: makes the root and becomes systemd.
if [ "${1-}" = boot ]; then
	root=$2/root
	mount --make-rprivate /
	mount -t tmpfs none "$2"
	mkdir "$2/up" "$2/work" "$root"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$2/up,workdir=$2/work" "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	for dir in run tmp dev; do mount -t tmpfs none "$root/$dir"; done
	for node in null zero full random urandom tty; do
		touch "$root/dev/$node"
		mount --bind /dev/$node "$root/dev/$node"
	done
	mkdir "$root/dev/shm" "$root/dev/pts"
	ln -s /proc/self/fd "$root/dev/fd"
	mount -t cgroup2 none "$root/sys/fs/cgroup"
	ip link set lo up
	echo uninitialized >"$root/etc/machine-id"
	mkdir -p "$root/etc/sled-agent" "$root/usr/bin" "$root/run/systemd/system" "$root/var/lib/sled-agent"
	cp "$3"/* "$root/usr/bin/"
	cp "$here"/deploy/systemd/*.service "$root/etc/systemd/system/"
	mount -t tmpfs -o size=8m,mode=700 none "$root/var/lib/sled-agent"
	# None of the host's services are started.
	printf '[Unit]\nRequires=systemd-journald.service\nAfter=systemd-journald.service\n' >"$root/run/systemd/system/test.target"
	for unit in sysinit.target basic.target network-online.target; do
		printf '[Unit]\nDefaultDependencies=no\n' >"$root/run/systemd/system/$unit"
		rm -rf "$root/etc/systemd/system/$unit" && cp "$root/run/systemd/system/$unit" "$root/etc/systemd/system/$unit"
		mkdir -p "$root/run/mask" && for wants in "$root"/lib/systemd/system/$unit.wants "$root"/etc/systemd/system/$unit.wants; do
			[ ! -d "$wants" ] || mount --bind "$root/run/mask" "$wants"
		done
	done
	# The network has no more than the loopback, which is up: nothing waits for another.
	ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd-wait-online.service"
	container=sled-agent-test exec chroot "$root" $systemd --unit=test.target --log-target=journal
fi

work=$(mktemp -d)
outside=
finish() {
	[ -z "$outside" ] || kill -KILL "$outside" 2>/dev/null || :
	wait 2>/dev/null || :
	rm -rf "$work"
}
trap finish EXIT
mkdir "$work/bin" "$work/boot"
(cd "$here" && go build -buildvcs=false -o "$work/bin/" ./cmd/...)

unshare --fork --pid --mount --cgroup --uts --ipc --net --kill-child "$0" boot "$work/boot" "$work/bin" >"$work/console" 2>&1 &
outside=$!

# until WHAT COMMAND...: waits until the command succeeds.
until_() {
	what=$1; shift
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.1
	done
	fail "$what"
}
fail() {
	echo "FAIL: $*"
	cat "$work/console"
	on systemctl status --no-pager --full sled-agent || :
	on journalctl --no-pager -o short-monotonic -n 60 || :
	exit 1
}
init=
found() { init=$(pgrep -P "$outside") && [ "$(cat "/proc/$init/comm")" = systemd ]; }
on() { nsenter -t "$init" -m -u -i -n -p -C -r -w "$@"; }
running() { on systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded'; }
for _ in $(seq 100); do
	kill -0 "$outside" 2>/dev/null || skip "systemd does not run in namespaces here: $(cat "$work/console")"
	if found && running; then break; fi
	sleep 0.1
done
running || skip "systemd does not come up in namespaces here: $(cat "$work/console")"

agent() { on systemctl show -P MainPID sled-agent; }
active() { [ "$(on systemctl is-active sled-agent)" = active ]; }
# other PID: there is an agent, in $new, with another PID. For a moment after the end of the
# previous agent the unit is active and has no process.
other() { new=$(agent) && [ "$new" != 0 ] && [ "$new" != "$1" ] && active; }
server() { on pgrep -f "propolis-sim run 127.0.0.1:$1" | head -n 1; }
ctl() { on sledctl "$@"; }
logged() { on journalctl -u sled-agent -o cat --no-pager "$@"; }
says() { logged | grep -q "$1"; }
ok() { echo "ok: $*"; }

# configure [METRICS]: an agent without a Nexus.
configure() {
	printf '[api]\nlisten = "127.0.0.1:12345"\n[admin]\nmetrics = "%s"\n[nexus]\naddresses = []\n[log]\nformat = "json"\n' "${1-}" |
		on tee /etc/sled-agent/sled-agent.toml >/dev/null
}
# launch PORT [MODE]: starts a VM, in $id.
launch() {
	id=$(ctl vmm register --hostname "vm-$1" --propolis-addr "127.0.0.1:$1")
	ctl vmm start "$id" >/dev/null
	ctl vmm wait "$id" --for running >/dev/null
}
# same WHAT: the VM of port 12400 still has the same process.
same() { [ "$(server 12400)" = "$vm" ] || fail "$1: the VM's process was $vm and is $(server 12400)"; ok "$1"; }
# survives WHAT: the agent and the VM still have the same processes.
survives() { [ "$(agent)" = "$pid" ] && active || fail "$1: the agent was $pid and is $(agent)"; same "$1"; }
# replaced WHAT: another agent serves, and the VM still has the same process.
replaced() { until_ "$1" other "$pid"; pid=$new; until_ "$1: serves" ctl agent; same "$1"; }

configure
on systemctl start sled-agent || fail "start"
active || fail "the unit is not active"
launch 12400; vm=$(server 12400); pid=$(agent)
ok "start: the agent is $pid, a VM's server is $vm"

# The unit's restrictions hold for the agent and for the servers that it has started, and leave
# zones their isolation.
status() { on sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
for process in "$pid" "$vm"; do
	[ "$(status "$process" NoNewPrivs)" = 1 ] || fail "process $process may gain privileges"
	[ "$(status "$process" Seccomp)" = 2 ] || fail "process $process has no system call filter"
	[ "$(status "$process" Umask)" = 0077 ] || fail "the umask of process $process is $(status "$process" Umask)"
	# CAP_SYS_TIME is bit 25 and CAP_SYS_ADMIN, which namespaces take, bit 21.
	caps=$((0x$(status "$process" CapBnd)))
	[ $((caps >> 25 & 1)) = 0 ] && [ $((caps >> 21 & 1)) = 1 ] || fail "the capabilities of process $process are $caps"
done
ctl agent | grep -q 'isolation *pid namespace and cgroup' || fail "zones have another isolation: $(ctl agent | grep isolation)"
[ "$(on stat -c %a /var/lib/sled-agent/admin.sock)" = 600 ] || fail "the admin socket has mode $(on stat -c %a /var/lib/sled-agent/admin.sock)"
on sled-agent check --config /etc/sled-agent/sled-agent.toml --host || fail "sled-agent check --host"
on systemd-analyze security --no-pager sled-agent.service | tail -n 1 || :
ok "the unit's restrictions hold for the agent and for the VM's server"

on systemctl reload sled-agent || fail "systemctl reload"
for signal in HUP USR1 PIPE TSTP; do on kill -$signal "$pid"; done
until_ "the signal is a warning in the journal" sh -c "nsenter -t $init -m -p -r journalctl -u sled-agent -p warning -o cat | grep -q 'signal ignored'"
survives "signals that end other services; journalctl -p warning has them"

on systemctl kill --signal=KILL systemd-journald
until_ "journald is back" on systemctl is-active systemd-journald
ctl vmm list >/dev/null
survives "the reader of the log is gone and comes back"

on systemctl restart sled-agent || fail "restart"
replaced "systemctl restart"
on kill -KILL "$pid"; replaced "SIGKILL"
on kill -TERM "$pid"; replaced "SIGTERM that systemd did not send"
on kill -ABRT "$pid"; replaced "SIGABRT"
on kill -STOP "$pid"; replaced "SIGSTOP, longer than WatchdogSec="

# A stop that is pending keeps its deadline while the agent dies.
launch 12401; stopping=$id
on curl -sf -X PUT -H content-type:application/json -d '["hang-stop"]' http://127.0.0.1:12401/sim/faults >/dev/null || fail "tell the simulator to hang"
ctl vmm stop "$stopping" --grace 4s >/dev/null
on kill -KILL "$pid"; replaced "SIGKILL while a stop is pending"
gone() { [ -z "$(server 12401)" ]; }
until_ "the stop's deadline" gone
ok "the stop kept its deadline"

# Missing resources do not end an agent that has VMMs.
configure 127.0.0.1:9464
on systemd-run -q --unit=occupant nexus-sim run --listen 127.0.0.1:9464
until_ "the port is taken" on curl -s http://127.0.0.1:9464/
on systemctl restart sled-agent || fail "restart with the metrics port taken"
replaced "a restart with the metrics port taken"
on systemctl show -P StatusText sled-agent | grep -q 'retrying: admin.metrics' || fail "systemctl status does not say what is missing"
on systemctl stop occupant
until_ "the metrics are served once the port is free" on curl -sf http://127.0.0.1:9464/metrics
ok "the metrics are served once the port is free"

on sh -c 'rm /var/lib/sled-agent/admin.sock; cat /dev/zero >/var/lib/sled-agent/fill 2>/dev/null; exit 0'
on systemctl restart sled-agent || fail "restart with a full disk"
until_ "a restart with a full disk" other "$pid"; pid=$new
same "a restart with a full disk"
on rm /var/lib/sled-agent/fill
until_ "the socket is there once the disk has room" ctl agent
ok "the socket is there once the disk has room"

on sh -c 'sed -i "1i typo = 1" /etc/sled-agent/sled-agent.toml'
on systemctl restart sled-agent 2>/dev/null && fail "a bad configuration starts" || :
[ "$(on systemctl show -P ExecMainStatus sled-agent)" = 96 ] || fail "a bad configuration ends with $(on systemctl show -P ExecMainStatus sled-agent)"
sleep 3
[ "$(on systemctl is-active sled-agent)" = failed ] || fail "systemd starts a bad configuration again"
same "a bad configuration: status 96, not started again"
configure
on systemctl start sled-agent || fail "start with the configuration mended"
replaced "the configuration is mended"

on systemctl stop sled-agent || fail "stop"
same "systemctl stop"

# A shutdown stops the VMs in order, before the agent.
on systemctl start sled-agent sled-agent-vmms || fail "start of what stops VMs at a shutdown"
replaced "start"
case $(on systemctl show -P After sled-agent-vmms) in
*sled-agent.service*) ;;
*) fail "VMs are stopped after the agent" ;;
esac
on systemctl stop sled-agent-vmms 2>/dev/null && fail "the unit that stops VMs may be stopped by hand"
on sh -c 'mkdir /run/systemd/system/sled-agent-vmms.service.d
	printf "[Unit]\nRefuseManualStop=no\n" >/run/systemd/system/sled-agent-vmms.service.d/test.conf
	systemctl daemon-reload'
on systemctl stop sled-agent-vmms || fail "stop of all VMs: $(on systemctl status --no-pager sled-agent-vmms)"
[ -z "$(server 12400)" ] || fail "the VM still runs"
ctl vmm list -o json | grep -q 'Propolis reported it destroyed' || fail "the VM was not stopped in order"
ok "VMs are stopped before the host shuts down"
on systemctl start sled-agent-vmms && on systemctl stop sled-agent-vmms || fail "stop of no VM"
ok "there may be no VM"
echo "PASS deploy/test/systemd.sh"
