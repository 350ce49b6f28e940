#!/bin/sh
# Writes docs/tour.md, or the file that is named: a transcript of what a new operator does, by real
# commands on the host of host.sh. Every command must end as it is expected to.
#
# The text is in this script, the output is what the commands print; only a progress line of
# dpkg's is left out. Ids, times and pids differ from run to run, so at the end it prints what else
# has changed.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/deploy/test/host.sh"
for program in dpkg make git gzip; do
	command -v $program >/dev/null 2>&1 || skip "there is no $program"
done
page=$work/tour.md

# say: adds prose, from standard input.
say() { cat >>"$page"; echo >>"$page"; }
# run COMMAND [STATUS]: runs a command of the shell on the host, and adds it with its output.
run() {
	status=0
	on env HOME=/root COLUMNS=100 LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		sh -c "cd /root && $1" >"$work/output" 2>&1 </dev/null || status=$?
	[ "$status" = "${2-0}" ] || fail "$1: exit status $status: $(cat "$work/output")"
	{
		echo '```console'
		printf '$ %s\n' "$1"
		sed '/^(Reading database/d; s/[[:space:]]*$//' "$work/output"
		printf '```\n\n'
	} >>"$page"
}

# reboot: adds a reboot of the host. What the command prints while the host goes down under it is
# left to chance, and out.
reboot() {
	printf '```console\n$ systemctl reboot\n```\n\n' >>"$page"
	host_reboot
	until_ "the agent is started at boot" ctl agent
}

packages tour v0.2.0
mkdir -p "$up/root"
cp "$work"/tour/bin/packages/*.deb "$up/root/"
rm -rf "$work/tour"
host_start

say <<'END'
# A tour

What an operator sees of the agent in its first hour, on a Debian host: installed from
packages, a VM that hangs, found, understood and ended, a host that is drained and rebooted.
`make tour` writes this page: [deploy/test/tour.sh](../deploy/test/tour.sh) runs the commands, as
root under a real systemd, and below each is what it printed. The VMs are simulated
(`propolis-sim`), and so is Nexus; [guests.md](guests.md) has real guests.

## Install

`make packages` builds the packages. Nothing is enabled or started yet.
END
run 'dpkg -i sled-agent_*.deb sled-agent-propolis_*.deb'
say <<'END'
Each key of the configuration has a default. This sled serves its API on the loopback, and
its Nexus is a simulated one on the same host.
END
run 'cat >/etc/sled-agent/sled-agent.toml <<EOF
[api]
listen = "127.0.0.1:12345"

[nexus]
addresses = ["http://127.0.0.1:12221"]
EOF'
run 'cat >/etc/systemd/system/nexus-sim.service <<EOF
[Service]
ExecStart=/usr/bin/nexus-sim run --listen 127.0.0.1:12221
[Install]
WantedBy=multi-user.target
EOF
systemctl enable --now nexus-sim'
until_ "nexus-sim" on curl -s http://127.0.0.1:12221/vmms
say <<'END'
Is the host fit for it? Then start the agent, and what stops its VMs when the host shuts down.
END
run 'sled-agent check --config /etc/sled-agent/sled-agent.toml --host'
run 'systemctl enable --now sled-agent sled-agent-vmms'
run 'systemctl status --no-pager --lines 0 sled-agent'
run 'sledctl status'

say <<'END'
## Three VMs

Nexus registers and starts VMs over the sled API. `sledctl` can do the same.
END
run 'for i in 0 1 2; do sledctl vmm register --hostname web-$i --propolis-addr 127.0.0.1:1240$i; done'
run 'sledctl vmm start web-0 web-1 web-2'
run 'sledctl vmm wait web-0 web-1 web-2 --for running'
run 'sledctl vmm list'
say <<'END'
A restart of the agent, for a new version or a new configuration, ends no VM: they have the
same processes before and after it.
END
run 'pgrep -a propolis-sim'
run 'systemctl restart sled-agent; pgrep -a propolis-sim'

say <<'END'
## One hangs

The server of `web-1` accepts connections and answers nothing any more. It is stopped, with the
default grace of ten minutes.
END
run "curl -sX PUT -H content-type:application/json -d '[\"hang-all\"]' http://127.0.0.1:12401/sim/faults"
run 'sledctl vmm stop web-1'
in_trouble() { ! ctl status --check; }
until_ "the trouble is seen" in_trouble
say <<'END'
The stop was accepted, so it ends: in ten minutes by force, whatever happens. An operator who does
not want to wait looks for what is wrong. With `--check` the exit code says so (6), for scripts.
END
run 'sledctl status --check' 6
run 'sledctl vmm list --unhealthy'
say <<'END'
What does it wait for, until when, and what has happened?
END
run 'sledctl vmm show web-1'
run 'sledctl vmm timeline web-1'
say <<'END'
The guest is lost. End it now: its zone is removed by force.
END
run 'sledctl vmm kill web-1'
run 'sledctl vmm wait web-1 --for gone'
run 'sledctl vmm timeline web-1'
run 'sledctl vmm list --ended'
say <<'END'
Everything that explains why it hung, in one file.
END
run 'sledctl report --file report.tar.gz'
run 'tar tzf report.tar.gz'

say <<'END'
## Maintenance

Drain the host: all VMs are stopped, and none is started, also after a reboot.
END
run 'sledctl drain --grace 1m --wait'
run 'sledctl vmm register --hostname web-3 --propolis-addr 127.0.0.1:12403' 1
reboot
say <<'END'
After the boot the agent runs, and still takes nothing.
END
run 'sledctl status'
run 'sledctl undrain'
run 'sledctl vmm register --hostname web-3 --propolis-addr 127.0.0.1:12403'
run 'sledctl vmm start web-3 && sledctl vmm wait web-3 --for running'
say <<'END'
A shutdown without a drain stops the VMs in order, too (`sled-agent-vmms`). What is recorded of
ended VMMs outlives it for a week:
END
reboot
run 'sledctl vmm list --ended'

say <<'END'
## Remove

A removal ends no VM, and says so. A purge also removes the state, unless VMs run.
END
run 'sledctl vmm register --hostname web-4 --propolis-addr 127.0.0.1:12404'
run 'sledctl vmm start web-4 && sledctl vmm wait web-4 --for running'
run 'dpkg -r sled-agent'
run 'pgrep -a propolis-sim'
say <<'END'
Installed and started again, the agent adopts it.
END
run 'dpkg -i sled-agent_*.deb && systemctl start sled-agent'
run 'sledctl vmm list'
cat >>"$page" <<'END'
[guide.md](guide.md) explains all of it, [runbooks](runbooks/README.md) say what to do about an
alert, and [simulators.md](simulators.md#cookbook) has more ways for a VM to fail.
END

# plain FILE: its different lines without ids, numbers, widths and bars.
plain() {
	LC_ALL=C.UTF-8 sed -E 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{8}\b/ID/g; s/[0-9]+(\.[0-9]+)?/N/g
		s/\b(N(h|m|s|ms))+\b/T/g; s/[─┴┊░▒▓█◆○]+//g; s/[[:space:]]+/ /g' "$1" | sort -u
}
plain "$here/docs/tour.md" >"$work/before" 2>/dev/null || :
plain "$page" >"$work/after"
echo "lines that only the previous page (<) or only this one (>) has, ids and numbers aside:"
diff "$work/before" "$work/after" | grep '^[<>]' || echo none
cp "$page" "${1:-$here/docs/tour.md}"
ok "the tour is in ${1:-docs/tour.md}"
