#!/bin/sh
# Tests the agent on a host that loses power and on one that reboots: a Debian guest in QEMU,
# without hardware support unless ACCEL=kvm is set.
#
# powercut-guest.sh runs in the guest at each boot. The guest's image is made once, as root,
# from Debian packages, and kept in bin/powercut/; remove that to remake it. If something is
# missing, this prints "SKIPPED: why" and exits with 0. Packages that it needs are installed
# with apt-get.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
cache=$here/bin/powercut
time_limit=${TIME_LIMIT:-600} # seconds for one boot and all that is tried in it
skip() { echo "SKIPPED: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "it takes root"
[ "$(uname -sm)" = "Linux x86_64" ] || skip "it takes Linux on x86_64"
command -v go >/dev/null || skip "there is no go"
begun=$(date +%s)

work=$(mktemp -d)
qemu=
finish() {
	[ -z "$qemu" ] || kill -KILL "$qemu" 2>/dev/null || :
	wait 2>/dev/null || :
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# tools COMMAND PACKAGE...: installs the packages if the command is missing.
tools() {
	command -v "$1" >/dev/null && return; shift
	command -v apt-get >/dev/null || skip "there is no apt-get to install $*"
	echo "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update -q && timeout 900 apt-get install -q -y --no-install-recommends "$@"; } >"$work/apt" 2>&1 ||
		skip "$* cannot be installed: $(tail -n 1 "$work/apt")"
}
tools qemu-system-x86_64 qemu-system-x86 seabios
tools qemu-img qemu-utils
tools mke2fs e2fsprogs

# image: makes the guest's disk, kernel and initial file system. They contain nothing of ours
# except a unit that runs the second disk's script.
image() {
	tools mmdebstrap mmdebstrap
	echo "making the guest's image"
	root=$work/root
	timeout 900 mmdebstrap --quiet --variant=minbase --format=directory \
		--include=systemd-sysv,linux-image-cloud-amd64,curl,procps --dpkgopt=force-unsafe-io \
		--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"
			printf "MODULES=list\nCOMPRESS=gzip\n" >"$1/etc/initramfs-tools/conf.d/test"
			printf "virtio_pci\nvirtio_blk\ncrc32c_generic\next4\n" >"$1/etc/initramfs-tools/modules"' \
		bookworm "$root" >"$work/apt" 2>&1 || skip "the guest's image cannot be made: $(tail -n 1 "$work/apt")"
	echo 5ed0a6e0000000000000000000000001 >"$root/etc/machine-id"
	cat >"$root/etc/systemd/system/test.service" <<-'UNIT'
		[Service]
		ExecStart=/bin/sh -c 'mount -o ro /dev/vdb /mnt && exec sh /mnt/powercut-guest.sh >/dev/ttyS1'
	UNIT
	ln -s ../test.service "$root/etc/systemd/system/multi-user.target.wants/"
	# These only take time. A getty would also hang up the console.
	for unit in getty.target timers.target e2scrub_reap.service systemd-update-utmp.service systemd-update-utmp-runlevel.service; do
		ln -s /dev/null "$root/etc/systemd/system/$unit"
	done
	mkdir -p "$cache" "$work/image"
	cp "$root"/boot/vmlinuz-* "$work/image/kernel"
	cp "$root"/boot/initrd.img-* "$work/image/initrd"
	mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 -d "$root" "$work/image/disk" 1G >/dev/null
	rm -rf "$root"
	cp --sparse=always "$work"/image/* "$cache/"
	touch "$cache/whole"
}
[ -e "$cache/whole" ] || image

mkdir "$work/ours" "$work/ours/bin"
(cd "$here" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/ours/bin/" ./cmd/...)
cp "$here/deploy/systemd/sled-agent.service" "$here/deploy/test/powercut-guest.sh" "$work/ours/"
mke2fs -q -t ext4 -d "$work/ours" "$work/ours.disk" 128M >/dev/null

# QEMU keeps the index of this file format in memory until the guest flushes its disk, with
# cache=writeback. So a killed QEMU loses what was written and not flushed, like a disk that
# loses power.
qemu-img create -q -f qcow2 -b "$cache/disk" -F raw "$work/disk" || skip "qemu-img cannot make a disk"

failed=
said() { tr -d '\r' <"$work/said" 2>/dev/null; }
fail() { failed=1; echo "FAILED: $*"; }

# boot NUMBER: boots the guest and runs its part, until its power is cut or it ends.
boot() {
	: >"$work/said"
	qemu-system-x86_64 -accel "${ACCEL:-tcg}" -cpu max -smp 2 -m 1024 -nodefaults -display none -no-reboot \
		-kernel "$cache/kernel" -initrd "$cache/initrd" -device virtio-rng-pci \
		-append "root=/dev/vda rw rootflags=commit=600 console=ttyS0 no_timer_check quiet panic=-1 mitigations=off \
systemd.journald.forward_to_console=1 systemd.journald.max_level_console=info sledtest=$1 sledgen=${gen-0}" \
		-drive "file=$work/disk,format=qcow2,if=virtio,cache=writeback" \
		-drive "file=$work/ours.disk,format=raw,if=virtio,readonly=on" \
		-serial "file:$cache/console.$1" -serial "file:$work/said" 2>"$work/qemu" &
	qemu=$!
	until=$(($(date +%s) + time_limit))
	while :; do
		last=$(said | tail -n 1)
		[ "$last" != cut ] && [ "$(date +%s)" -lt $until ] && kill -0 $qemu 2>/dev/null || break
		sleep 0.1
	done
	# A guest that reboots ends QEMU itself (-no-reboot).
	kill -KILL $qemu 2>/dev/null || :
	wait $qemu 2>/dev/null || :
	qemu=
	[ "$1" != 1 ] || [ -s "$work/said" ] ||
		skip "the guest does not come up within $time_limit s: $(cat "$work/qemu") $(tail -n 1 "$cache/console.1")"
	said | grep -E '^(ok|FAILED): ' | sed 's/^/boot '"$1"': /' || :
	if said | grep -q '^FAILED: '; then failed=1; fi
	gen=$(said | sed -n 's/^gen //p')
	[ "$last" = cut ] || grep -q 'reboot: Restarting system' "$cache/console.$1" ||
		fail "boot $1: the guest did not get to its end"
	echo "boot $1: $(($(date +%s) - begun)) s since the beginning"
	if [ "$failed" ]; then
		tail -n 60 "$cache/console.$1"
		echo "the guest's journal is in $cache/console.$1"
		exit 1
	fi
}
for number in 1 2 3 4; do boot $number; done
[ "$(grep -ho '"sled":"[^"]*"' "$cache"/console.[1-4] | sort -u | wc -l)" = 1 ] || { fail "the sled has one id"; exit 1; }
echo "ok: the sled has one id"
echo "PASS deploy/test/powercut.sh"
