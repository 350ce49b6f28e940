#!/sbin/sh
# Method of svc:/system/illumos/sled-agent and svc:/system/illumos/sled-agent-vmms:
#
#	sled-agent CONFIGURATION      start
#	sled-agent stop CONTRACT      stop
#	sled-agent shutdown SOCKET    stop of sled-agent-vmms
#	sled-agent refresh            refresh

agent=/usr/bin/sled-agent
sledctl=/usr/bin/sledctl
who=/usr/bin/who
pgrep=/usr/bin/pgrep
pkill=/usr/bin/pkill

# empty SECONDS: waits until the contract has no processes.
empty() {
	left=$1
	while $pgrep -c "$contract" >/dev/null; do
		[ "$left" -gt 0 ] || return 1
		left=$((left - 1))
		sleep 1
	done
}

# The agent ends within 5 s of SIGTERM, but a command that it runs, such as zoneadm, may
# outlive it. Processes left at the method's timeout would put the service into maintenance,
# without an agent, so they are killed before.
if [ "$1" = stop ]; then
	contract=$2
	$pkill -TERM -c "$contract"
	empty 10 && exit 0
	$pkill -KILL -c "$contract"
	empty 10
	exit 0
fi

# Stops the VMs in order if the host shuts down. svc.startd sets the run level, which "who -r"
# prints, before it stops services. A stop for another reason (svcadm disable or restart) must
# not end VMs. Each guest has 90 s to power off by itself, with a Propolis of version 7; what is
# left after two minutes is removed by force. The exit status is 0 however that ends: the
# shutdown goes on in any case.
if [ "$1" = shutdown ]; then
	level=$($who -r | sed -n 's/.*run-level *\([^ ]*\).*/\1/p')
	case $level in
	0 | 5 | 6) "$sledctl" --socket "$2" vmm stop --all --soft 90s --grace 2m --wait --timeout 150s ;;
	*) echo "the host does not shut down (run level $level): VMs go on" ;;
	esac
	exit 0
fi

# A configuration that is wrong changes nothing; the service's log says why. SIGHUP to the
# contract would also reach the commands that the agent runs.
if [ "$1" = refresh ]; then
	"$sledctl" agent reload
	exit 0
fi

# Exit status 96 (SMF_EXIT_ERR_CONFIG), for a bad configuration, puts a service of model
# "child" into maintenance. After any other end startd restarts it.
exec "$agent" run --config "$1"
