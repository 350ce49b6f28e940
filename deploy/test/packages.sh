#!/bin/sh
# Builds the packages twice and compares them, then installs, upgrades, removes and purges them on
# the host of host.sh, while a VM runs: its process must stay the same.
#
# The .deb is installed by dpkg, so this skips where there is none; the .rpm by rpm, on the same
# host, where there is one ("apt-get install rpm").
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/deploy/test/host.sh"
for program in dpkg make git gzip; do
	command -v $program >/dev/null 2>&1 || skip "there is no $program"
done
config=/etc/sled-agent/sled-agent.toml

packages new v99.0.0
(umask 027; TZ=Asia/Tokyo HOSTNAME=other packages again v99.0.0)
diff -r "$work/new/bin/packages" "$work/again/bin/packages" || fail "two builds of the packages differ"
ok "two builds of the packages are the same, byte for byte"
# The configuration of an older version is another one.
packages old v0.0.1 "an older example"
mkdir -p "$up/packages"
cp "$work"/new/bin/packages/*.deb "$work"/new/bin/packages/*.rpm "$work"/old/bin/packages/*.deb "$work"/old/bin/packages/*.rpm "$up/packages/"
rm -rf "$work/new" "$work/again" "$work/old"

host_start
# debs VERSION: installs the packages of that version, as an unattended upgrade does.
debs() { on sh -c "DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i /packages/*_$1-1_*.deb" >"$work/dpkg" 2>&1; }
# said TEXT: the last command of dpkg or rpm has printed it.
said() { grep -q -- "$1" "$work/dpkg" || fail "nothing says \"$1\": $(cat "$work/dpkg")"; }
version() { on sledctl agent -o json --jq .version; }
enabled() { on systemctl is-enabled "$1" 2>/dev/null || :; }
# edited: the operator's configuration is there.
edited() { on grep -q 'addresses = \[\]' $config || fail "the configuration was not kept: $(on cat $config)"; }
# absent PATH
absent() { ! on test -e "$1" || fail "$1 is there"; }

debs 0.0.1 || fail "dpkg -i: $(cat "$work/dpkg")"
on dpkg -V sled-agent sled-agent-propolis | grep . && fail "files differ from the package's" || :
! active || fail "the agent was started before it was configured"
[ "$(enabled sled-agent)" = disabled ] || fail "sled-agent is $(enabled sled-agent)"
on sled-agent check --config $config >/dev/null || fail "the packaged configuration is not accepted"
on bash -c '. /usr/share/bash-completion/completions/sledctl && complete -p sledctl' >/dev/null || fail "bash completion"
on sh -c 'man -w sledctl-vmm-stop && man -w 8 sled-agent' >/dev/null 2>&1 || on test -e /usr/share/man/man1/sledctl-vmm-stop.1.gz || fail "man pages"
ok "installed, neither enabled nor started"

configure
on systemctl enable --now sled-agent sled-agent-vmms 2>/dev/null || fail "enable"
launch 12400; vm=$(server 12400); pid=$(agent)
[ "$(version)" = v0.0.1 ] || fail "the agent is $(version)"

debs 99.0.0 || fail "upgrade: $(cat "$work/dpkg")"
replaced "upgrade"
[ "$(version)" = v99.0.0 ] || fail "after the upgrade the agent is $(version)"
edited
on test -e $config.dpkg-dist || fail "the new example is not beside the configuration"
[ "$(on systemctl is-active sled-agent-vmms)" = active ] || fail "the upgrade stopped sled-agent-vmms"
ok "the upgrade kept the configuration"

on sh -c "echo 'typo = 1' | cat - $config >/tmp/c && cp /tmp/c $config"
debs 99.0.0 || fail "upgrade with a bad configuration: $(cat "$work/dpkg")"
said "typo: unknown key"
said "does not accept $config, so the previous one goes on"
[ "$(agent)" = "$pid" ] || fail "an agent was restarted with a bad configuration"
same "upgrade to a version that does not accept the configuration: the previous agent goes on"
configure

# A shutdown stops the VMs in order, by the unit as it is installed.
on test -e /etc/systemd/system/multi-user.target.wants/sled-agent-vmms.service || fail "sled-agent-vmms is not enabled"
host_reboot
until_ "the agent is started at boot" ctl agent
ctl vmm list -o json | grep -q 'Propolis reported it destroyed' || fail "the reboot did not stop the VM in order: $(ctl vmm list)"
ok "reboot: the VM was stopped in order before, and the agent runs"

launch 12400; vm=$(server 12400); pid=$(agent); running=$id
on dpkg -r sled-agent >"$work/dpkg" 2>&1 || fail "remove: $(cat "$work/dpkg")"
said "VMs go on without an agent"
said "$running"
! active || fail "the agent still runs"
absent /usr/bin/sled-agent
edited
same "removal"
on dpkg -P sled-agent >"$work/dpkg" 2>&1 || fail "purge: $(cat "$work/dpkg")"
said "VMs still run, so their state in /var/lib/sled-agent is kept"
absent $config
same "purge while a VM runs: its state is kept"

debs 99.0.0 || fail "install again: $(cat "$work/dpkg")"
configure
on systemctl start sled-agent || fail "start"
replaced "installed again: the agent adopts the VM"
ctl drain --grace 10s --wait >/dev/null || fail "drain"
on dpkg -P sled-agent >"$work/dpkg" 2>&1 || fail "purge: $(cat "$work/dpkg")"
! grep -q 'sled-agent: ' "$work/dpkg" || fail "the purge complains: $(cat "$work/dpkg")"
for path in /var/lib/sled-agent /etc/sled-agent /usr/lib/systemd/system/sled-agent.service; do absent $path; done
[ "$(on systemctl show -P LoadState sled-agent)" = not-found ] || fail "systemd still has the unit"
on dpkg -P sled-agent-propolis >/dev/null || fail "purge of sled-agent-propolis"
ok "purge: nothing is left"

if ! command -v rpm >/dev/null 2>&1; then
	echo "SKIP deploy/test/packages.sh: there is no rpm (apt-get install rpm); the .rpm is NOT tested"
	echo "PASS deploy/test/packages.sh, of the .deb"
	exit 0
fi
# rpms ACTION VERSION. On a host of Debian's, rpm knows of no other package.
rpms() { on sh -c "rpm --nodeps $1 /packages/*-$2-1.*.rpm" >"$work/dpkg" 2>&1 || fail "rpm $1: $(cat "$work/dpkg")"; }
rpms -i 0.0.1
! active || fail "the agent was started before it was configured"
configure
on systemctl enable --now sled-agent 2>/dev/null || fail "enable"
launch 12400; vm=$(server 12400); pid=$(agent); running=$id
rpms -U 99.0.0
replaced "rpm: upgrade"
[ "$(version)" = v99.0.0 ] || fail "after the upgrade the agent is $(version)"
edited
on test -e $config.rpmnew || fail "the new example is not beside the configuration"
on rpm -e --nodeps sled-agent >"$work/dpkg" 2>&1 || fail "rpm -e: $(cat "$work/dpkg")"
said "$running"
absent /usr/bin/sled-agent
on test -e $config.rpmsave || fail "the edited configuration was not saved"
same "rpm: removal"
echo "PASS deploy/test/packages.sh"
