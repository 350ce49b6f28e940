# A host in a directory, for tests. The script runs as each command, by its name.
# It appends changes to log; the file on/COMMAND-VERB replaces a command.
dir=${0%/*}
cmd=${0##*/}
zone=$2 verb=$1
case $cmd in
zoneadm) [ "$1" = list ] || verb=$3 ;;
zonecfg) verb=$3 && [ "$verb" != -f ] || verb=create ;;
svcs | svcprop | pkill | pgrep) verb=run ;;
umount) verb=umount ;;
esac
[ "$verb" = list ] || [ "$verb" = run ] || echo "$cmd $*" >>"$dir/log"

# state ZONE STATE [ID]: sets how the zone is listed; "absent" removes it.
state() {
	if [ "$2" = absent ]; then rm -f "$dir/zones/$1" && return; fi
	printf '%s:%s:%s:%s::omicron1:excl\n' "${3:--}" "$1" "$2" "$dir/root/$1" >"$dir/zones/.$1.$$"
	mv "$dir/zones/.$1.$$" "$dir/zones/$1"
}

# await FILE: waits until the file exists; ends with the host.
await() {
	until [ -e "$dir/$1" ]; do
		[ -d "$dir" ] || exit 1
		sleep 0.01
	done
}

# ordinary: the default behaviour of each command.
ordinary() {
	case $cmd-$verb in
	zoneadm-list)
		echo '0:global:running:/::ipkg:shared'
		cat "$dir"/zones/* 2>/dev/null
		exit 0
		;;
	zoneadm-install)
		mkdir "$dir/root/$zone" && mkdir -p "$dir/root/$zone/root/var/svc/log" || exit 1
		state "$zone" installed
		;;
	zoneadm-boot) state "$zone" running 7 ;;
	zoneadm-halt) state "$zone" installed ;;
	zoneadm-uninstall)
		rm -rf "$dir/root/$zone/root"
		state "$zone" configured
		;;
	zonecfg-create)
		cp "$4" "$dir/configs/$zone.xml"
		state "$zone" configured
		;;
	zonecfg-export)
		[ -e "$dir/configs/$zone.xml" ] || { echo "$zone: No such zone configured" >&2 && exit 1; }
		cat "$dir/configs/$zone.xml"
		;;
	zonecfg-delete)
		rm "$dir/configs/$zone.xml"
		state "$zone" absent
		;;
	dladm-create-vnic)
		for link; do :; done
		[ ! -e "$dir/links/$link" ] || { echo "dladm: vnic creation over $4 failed: object already exists" >&2 && exit 1; }
		echo "$4" >"$dir/links/$link"
		;;
	dladm-delete-vnic)
		[ -e "$dir/links/$2" ] || { echo "dladm: invalid link name '$2'" >&2 && exit 1; }
		rm "$dir/links/$2"
		;;
	dladm-show-link)
		echo underlay_stub0:etherstub::9000
		for link in "$dir"/links/*; do
			[ ! -e "$link" ] || echo "${link##*/}:vnic:$(cat "$link"):1500"
		done
		;;
	ipadm-show-addr) echo 'underlay0/sled6:static:ok:fd00\:1122\:3344\:101\:\:1/64' ;;
	svcprop-run) echo online ;;
	zfs-list) echo "cannot open '$5': not a ZFS filesystem" >&2 && exit 1 ;;
	pkill-run) exit 1 ;;
	pgrep-run) grep -q '^[0-9].*:running:' "$dir/zones/$2" 2>/dev/null && echo 4711 || exit 1 ;;
	esac
}

if [ -e "$dir/on/$cmd-$verb" ]; then
	. "$dir/on/$cmd-$verb"
	exit
fi
ordinary "$@"
