#!/sbin/sh
# Method of svc:/system/illumos/sled-agent:
#
#	sled-agent CONFIGURATION    start
#	sled-agent stop CONTRACT    stop
#	sled-agent refresh          refresh

agent=/usr/bin/sled-agent
sledctl=/usr/bin/sledctl
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

# A configuration that is wrong changes nothing; the service's log says why. SIGHUP to the
# contract would also reach the commands that the agent runs.
if [ "$1" = refresh ]; then
	"$sledctl" agent reload
	exit 0
fi

# Exit status 96 (SMF_EXIT_ERR_CONFIG), for a bad configuration, puts a service of model
# "child" into maintenance. After any other end startd restarts it.
exec "$agent" run --config "$1"
