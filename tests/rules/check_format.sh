#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_format.sh: lines of C that a change adds or changes have the form of .clang-format, and no line
# that it adds, in any text but a record, a picture or a table in a page, is over 120 columns or ends in
# a blank. A change is what the work tree has beside the branch main, or, on main, beside the last
# commit. Lines that nobody touches are not looked at. `make check-format` runs it.
#
#     SRC=TOP [BASE=COMMIT] tests/rules/check_format.sh
: "${SRC:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$SRC" || exit 2
skip() { echo "SKIPPED check_format: $*"; exit 77; }
command -v git >/dev/null || skip 'no git here'
[ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ] || skip 'this tree is not a clone'
if [ -z "${BASE-}" ]; then
    BASE=$(git merge-base HEAD main 2>/dev/null)
    [ -n "$BASE" ] && [ "$BASE" != "$(git rev-parse HEAD)" ] ||
        BASE=$(git rev-parse -q --verify HEAD~1) || skip 'no commit to compare with'
fi
bad=0
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-format.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Added lines as FILE:LINE:TEXT.
git diff -U0 --diff-filter=AMR "$BASE" -- . >"$work/diff" || exit 1
awk '/^\+\+\+ /{ file = substr($0, 7); next }
     /^@@ /{ split($3, at, ","); line = substr(at[1], 2); next }
     /^\+/{ print file ":" line++ ":" substr($0, 2) }' "$work/diff" >"$work/added"
awk -F: '{ text = substr($0, length($1) + length($2) + 3) }
    $1 ~ /\.(svg|json|txt|diff|safetensors|npy)$/ { next }
    text ~ /[ \t]$/ && $1 !~ /\.md$/ { print $1 ":" $2 ": ends in a blank" }
    length(text) > 120 && $1 !~ /\.md$/ { print $1 ":" $2 ": " length(text) " columns" }' "$work/added" >"$work/wide"
if [ -s "$work/wide" ]; then
    bad=1 && echo 'not ok - lines that are added' && sed 's/^/# /' "$work/wide" | head -30
else echo 'ok - lines that are added end where they end, within 120 columns'; fi

if command -v clang-format >/dev/null; then
    # Each file once, in the ranges of lines that were added.
    awk -F: '$1 ~ /\.[ch]$/ { if ($1 == file && $2 == last + 1) last = $2
                              else { if (file) print file, first, last; file = $1; first = last = $2 } }
             END { if (file) print file, first, last }' "$work/added" >"$work/ranges"
    for file in $(cut -d' ' -f1 "$work/ranges" | sort -u); do
        lines=$(awk -v f="$file" '$1 == f { printf " --lines=%s:%s", $2, $3 }' "$work/ranges")
        if clang-format --style=file $lines "$file" >"$work/formed" && cmp -s "$file" "$work/formed"; then
            echo "ok - $file"
        else
            echo "not ok - $file: clang-format -i$lines $file"
            diff "$file" "$work/formed" | sed 's/^/# /' | head -12
            bad=1
        fi
    done
else echo 'SKIPPED the form of C: no clang-format here'; fi
exit $bad
