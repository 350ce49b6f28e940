# A host in a directory, for tests: every command, by the name it is called by.
# What a command does is written to log; what it does otherwise than here is in
# the file on/COMMAND-VERB.
dir=${0%/*}
cmd=${0##*/}
zone=$2 verb=$1
case $cmd in
zoneadm) [ "$1" = list ] || verb=$3 ;;
zonecfg) verb=$3 && [ "$verb" != -f ] || verb=create ;;
svcs | svcprop | pkill) verb=run ;;
umount) verb=umount ;;
esac
[ "$verb" = list ] || [ "$verb" = run ] || echo "$cmd $*" >>"$dir/log"

# state ZONE STATE [ID]: has the zone listed so; "absent" ends that.
state() {
	if [ "$2" = absent ]; then rm -f "$dir/zones/$1" && return; fi
	printf '%s:%s:%s:%s::omicron1:excl\n' "${3:--}" "$1" "$2" "$dir/root/$1" >"$dir/zones/.$1.$$"
	mv "$dir/zones/.$1.$$" "$dir/zones/$1"
}

# await FILE: returns when somebody has made that file, and ends with the host.
await() {
	until [ -e "$dir/$1" ]; do
		[ -d "$dir" ] || exit 1
		sleep 0.01
	done
}

# ordinary: what a command does that no test has replaced.
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
		cp "$4" "$dir/configs/$zone"
		state "$zone" configured
		;;
	zonecfg-export)
		[ -e "$dir/configs/$zone" ] || { echo "$zone: No such zone configured" >&2 && exit 1; }
		cat "$dir/configs/$zone"
		;;
	zonecfg-delete)
		rm "$dir/configs/$zone"
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
	dladm-show-vnic)
		for link in "$dir"/links/*; do
			[ -e "$link" ] || break
			case $4 in
			LINK) echo "${link##*/}" ;;
			*) echo "${link##*/}:$(cat "$link")" ;;
			esac
		done
		;;
	ipadm-show-addr) echo 'underlay0/sled6:static:ok:fd00\:1122\:3344\:101\:\:1/64' ;;
	svcprop-run) echo online ;;
	zfs-list) echo "cannot open '$5': not a ZFS filesystem" >&2 && exit 1 ;;
	pkill-run) exit 1 ;;
	esac
}

if [ -e "$dir/on/$cmd-$verb" ]; then
	. "$dir/on/$cmd-$verb"
	exit
fi
ordinary "$@"
