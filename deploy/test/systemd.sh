#!/bin/sh
# Runs the agent as a unit of a real systemd and subjects it to what happens to services.
#
# The host is that of host.sh. For a power cut and a reboot of the host see powercut.sh.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/deploy/test/host.sh"

mkdir -p "$up/usr/bin" "$up/etc/sled-agent"
(cd "$here" && go build -buildvcs=false -o "$up/usr/bin/" ./cmd/...)
cp "$here"/deploy/systemd/*.service "$up/etc/systemd/system/"
host_start
# Small, to be filled.
on mkdir -p /var/lib/sled-agent
on mount -t tmpfs -o size=8m,mode=700 none /var/lib/sled-agent

# survives WHAT: the agent and the VM still have the same processes.
survives() { [ "$(agent)" = "$pid" ] && active || fail "$1: the agent was $pid and is $(agent)"; same "$1"; }

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
