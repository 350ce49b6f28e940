#!/bin/sh
# Type-checks what is compiled for illumos with cgo alone. A check with
# CGO_ENABLED=0 never looks at it, and no other system has illumos's headers; a
# stub of <kstat.h> and the host's own compiler are enough to catch a call of
# what is not there. Says in one line why, where that cannot be done.
set -eu
cd "$(dirname "$0")"
go=${GO:-go}
module=github.com/illumos/go-kstat

skip() {
	echo "    skipped: $1"
	exit 0
}

case $($go env GOHOSTOS)/$($go env GOHOSTARCH) in
linux/amd64) ;;
*) skip 'the stub header is made for a compiler of linux/amd64' ;;
esac
command -v gcc >/dev/null 2>&1 || skip 'there is no gcc'
dir=$($go list -m -f '{{.Dir}}' $module 2>/dev/null) || dir=
test -n "$dir" || skip "there is no module $module"

export GOOS=illumos GOARCH=amd64 CGO_ENABLED=1 CC=gcc CGO_CFLAGS="-D_GNU_SOURCE -I$PWD/testdata/stub"
$go vet .
$go build .
