#!/bin/sh
# version.sh DESCRIPTION [COMMITS]: prints a package's version for what "git describe --tags
# --always --dirty" prints. It sorts like the commits do, by the rules of dpkg and of rpm: a
# pre-release before its release, and the commits after a tag after it. COMMITS is the number of
# commits before one that has no tag.
set -eu
version=${1#v}
dirty=
case $version in *-dirty) version=${version%-dirty} dirty=.dirty ;; esac
after=
case $version in
*-*-g*)
	commit=${version##*-g}
	version=${version%-g*}
	after=+${version##*-}.g$commit
	version=${version%-*}
	;;
[0-9]*.[0-9]*) [ -z "$dirty" ] || dirty=+0.dirty ;;
*) version=0~${2:-0}.g$version ;;
esac
# The first "-" of a tag begins its pre-release; neither format allows others.
case $version in *-*) version=${version%%-*}~$(echo "${version#*-}" | tr - .) ;; esac
echo "$version$after$dirty"
