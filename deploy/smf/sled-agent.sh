#!/sbin/sh
# Start method of svc:/system/illumos/sled-agent. $1 is the configuration.

agent=/usr/bin/sled-agent
config=$1

# Nothing but an edit mends a bad configuration (SMF_EXIT_ERR_CONFIG). SMF does
# not look at how a service of model "child" exits, so it has to be told.
"$agent" check --config "$config" >/dev/null
if [ $? -eq 96 ]; then
	/usr/sbin/svcadm mark maintenance "$SMF_FMRI"
	# SMF ends this on the way to maintenance. If it should not, the service
	# at least does not start once a second.
	sleep 60
	exit 96
fi

exec "$agent" run --config "$config"
