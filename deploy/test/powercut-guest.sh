#!/bin/sh
# Run by the guest of powercut.sh; each boot runs another part. Output lines are for the host:
# "ok: WHAT", "FAILED: WHAT", "gen N" (a generation to pass to the next boot), and at the end
# "cut", which asks for the power cut.
set -u

A=aaaaaaaa-0000-4000-8000-000000000001 # runs when the power is cut
B=bbbbbbbb-0000-4000-8000-000000000002 # has been registered only
C=cccccccc-0000-4000-8000-000000000003 # is being stopped when the power is cut
D=dddddddd-0000-4000-8000-000000000004 # has ended when the power is cut, and Nexus was down
E=eeeeeeee-0000-4000-8000-000000000005 # runs when the host is rebooted
nexus=127.0.0.1:12221

argument() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
# check WHAT COMMAND...: checks that the command succeeds, now or soon.
check() {
	what=$1; shift
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then echo "ok: $what"; return; fi
		sleep 0.2
	done
	echo "FAILED: $what"
}
row() { curl -sf "http://$nexus/vmms/$1"; }
generation() { row "$1" | sed -n 's/^ *"gen": \([0-9]*\).*/\1/p' | head -n 1; }
# nexus_has ID STATE: Nexus's record of the VMM has the state.
nexus_has() { row "$1" | grep '"state":' | head -n 1 | grep -q "\"$2\""; }
# ended ID STATE: the agent lists the VMM as ended in the state.
ended() { sledctl vmm list --ended --full | grep -q "^$1 .* $2 "; }
# refused ID: registering it again is refused.
refused() { sledctl vmm register --id "$1" --propolis-addr 127.0.0.1:12400 2>&1 | grep -q terminating; }
truthful() { [ "$(curl -sf "http://$nexus/sim/violations")" = "[]" ]; }
launch() {
	sledctl vmm register --id "$1" --propolis-addr "127.0.0.1:$2" && sledctl vmm start "$1" &&
		sledctl vmm wait "$1" --for running
}
no_zone() {
	! pgrep -f 'propolis-sim|sled-zone-init' && [ -z "$(ls /var/lib/sled-agent/zones)" ] &&
		[ -z "$(find /sys/fs/cgroup -name '*propolis-server*')" ]
}
# lost: what was written right before the power cut and not flushed is gone.
lost() { [ ! -s /var/lib/not-flushed ]; }
cut() { echo something >/var/lib/not-flushed; echo cut; sleep 1000; }

install_agent() {
	cp /mnt/bin/* /usr/bin/
	cp /mnt/sled-agent.service /etc/systemd/system/
	mkdir /etc/sled-agent /etc/systemd/system/sled-agent.service.d
	# Only the reboot may end a VMM, not an unreachable Propolis and not a deadline.
	cat >/etc/sled-agent/sled-agent.toml <<-TOML
		[api]
		listen = "127.0.0.1:12345"
		[nexus]
		addresses = ["http://$nexus"]
		[propolis]
		gone_after = "1h"
		[watchdog]
		stop_grace = "1h"
	TOML
	cat >/etc/systemd/system/sled-agent.service.d/test.conf <<-'UNIT'
		[Service]
		ExecStartPre=-/bin/sh -c 'sled-agent ledger check --config /etc/sled-agent/sled-agent.toml >/run/ledger 2>&1'
	UNIT
	cat >/etc/systemd/system/nexus-sim.service <<-UNIT
		[Service]
		ExecStart=/usr/bin/nexus-sim run --listen $nexus
		[Install]
		WantedBy=multi-user.target
	UNIT
	systemctl enable sled-agent nexus-sim
	sync
} >&2

# back VMMS: after a boot, the agent runs with that many VMMs in its ledger.
back() {
	check "the agent is back" sledctl agent
	check "its ledger was whole and had $1 VMMs" grep -q "is whole and holds $1 VMMs" /run/ledger
}
# over ID STATE WHAT
over() {
	check "$3: the agent has it as $2" ended "$1" "$2"
	check "$3: Nexus has it as $2" nexus_has "$1" "$2"
}
# after ID: what holds once all have ended.
after() {
	check "the generation of $1 has risen" [ "$(generation "$1")" -gt "$(argument sledgen)" ]
	check "Nexus was told nothing that contradicts itself" truthful
	check "nothing of a zone is left" no_zone
}

echo "up $(argument sledtest)"
case $(argument sledtest) in
1)
	install_agent
	systemctl start nexus-sim sled-agent
	check "first start" sledctl agent
	check "a VMM runs" launch $A 12401
	check "Nexus has it as running" nexus_has $A running
	echo "gen $(generation $A)"
	sledctl vmm register --id $B --propolis-addr 127.0.0.1:12402 >&2 || echo "FAILED: register"
	cut
	;;
2)
	check "what had not been flushed is lost" lost
	back 2
	over $A failed "it ran when the power was cut"
	over $B failed "it was registered when the power was cut"
	after $A
	check "another VMM runs" launch $C 12403
	check "its server will not stop" curl -sf -X PUT -H content-type:application/json -d '["hang-stop"]' http://127.0.0.1:12403/sim/faults
	check "another VMM runs" launch $D 12404
	sledctl vmm stop $C >&2 || echo "FAILED: stop"
	check "Nexus has it as stopping" nexus_has $C stopping
	echo "gen $(generation $C)"
	systemctl stop nexus-sim
	sledctl vmm stop $D --grace 0s --wait >&2 || echo "FAILED: stop at once"
	cut
	;;
3)
	check "what had not been flushed is lost" lost
	back 2
	over $C destroyed "its stop was pending when the power was cut"
	over $D destroyed "it had ended when the power was cut and Nexus was down"
	after $C
	check "an id that ended before the power cut is refused" refused $A
	check "another VMM runs" launch $E 12405
	check "Nexus has it as running" nexus_has $E running
	echo "gen $(generation $E)"
	systemctl reboot
	;;
4)
	back 1
	over $E failed "it ran when the host was rebooted"
	after $E
	cut
	;;
esac
