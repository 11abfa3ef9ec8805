#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_dist.sh: the tarball of make dist has every file that git has, but for those that say how git
# and the tests' own machines work, and a row that is missing in a .mk does not show only at somebody
# who builds from it.
#
#     BUILD=BUILD-FOLDER SRC=TOP tests/rules/check_dist.sh
: "${BUILD:=.}" "${SRC:=$(cd "$(dirname "$0")/../.." && pwd)}" "${MAKE:=make}"
skip() { echo "SKIPPED check_dist: $*"; exit 77; }
command -v git >/dev/null || skip 'no git here'
top=$(cd "$SRC" && git rev-parse --show-toplevel 2>/dev/null)
[ "$top" = "$(cd "$SRC" && pwd -P)" ] || skip 'this tree is not a clone'
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-dist.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
(cd "$SRC" && git ls-files | grep -v -e '^\.gitignore$' -e '^\.ci/') | LC_ALL=C sort >"$work/git"
printf 'include Makefile\nprint-dist:\n\t@printf "%%s\\n" $(srcdir) $(DISTFILES)\n' >"$work/list.mk"
unset MAKEFLAGS MFLAGS MAKELEVEL
(cd "$BUILD" && "$MAKE" -s -f "$work/list.mk" print-dist) >"$work/list" 2>"$work/said" ||
    { echo 'not ok - make tells what is in the tarball'; sed 's/^/# /' "$work/said"; exit 1; }
# A folder in the list stands for all files in it. Make names some files through $(srcdir), the
# path from the build folder to the sources; it is the first line of the list, and is cut off.
{ read -r way; sed "s|^$way/||"; } <"$work/list" | while read -r file; do
    if [ -d "$SRC/$file" ]; then (cd "$SRC" && find "$file" -type f); else echo "$file"; fi
done | LC_ALL=C sort -u >"$work/dist"
missing=$(comm -23 "$work/git" "$work/dist")
[ -z "$missing" ] && echo 'ok - make dist has every file that git has' && exit 0
echo 'not ok - make dist has every file that git has; these are in no EXTRA_DIST, _SOURCES or _DATA:'
echo "$missing" | sed 's/^/# /'
exit 1
