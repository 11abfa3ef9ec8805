#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_third_party.sh: somebody else's plugin, one C file (third_party/scale_add.c), built by one plain cc command against
# the headers as they are installed, and run by the installed heed: listed, described, the same bits on every path of this
# machine, and those of a product and a sum that are rounded one after the other.
#
#     BUILD=BUILD-FOLDER SRC=TOP tests/rules/check_third_party.sh        CC, MAKE and PKG_CONFIG may say which

: "${BUILD:=.}" "${SRC:=$(dirname "$0")/..}" "${MAKE:=make}" "${PKG_CONFIG:=pkg-config}"
BUILD=$(cd "$BUILD" && pwd) && SRC=$(cd "$SRC" && pwd) || exit 2
command -v "$PKG_CONFIG" >/dev/null || { echo "1..0 # SKIP no $PKG_CONFIG"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-third-party.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
unset HEED_ISA HEED_PLUGINS MAKEFLAGS MFLAGS MAKELEVEL
bad=0

# report NAME: what has just been tested, by $?; what was said is in $work/log.
report() {
    if [ $? = 0 ]; then echo "ok - $1"; else
        echo "not ok - $1"
        sed 's/^/# /' "$work/log" | tail -20
        bad=1
    fi
}
log() { "$@" >"$work/log" 2>&1; }

log "$MAKE" -C "$BUILD" install DESTDIR="$work/root"
report "heed installs into a folder"
pc=$(find "$work/root" -name heed-plugin.pc)
heed=$(find "$work/root" -type f -name heed -perm -u+x | head -1)
[ -n "$pc" ] && [ -n "$heed" ] || { echo "not ok - heed and heed-plugin.pc are installed"; exit 1; }
"$heed" --version >/dev/null 2>"$work/log" || { echo "1..0 # SKIP the installed heed does not run here: $(head -1 "$work/log")"; exit 77; }
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$work/root PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_ALLOW_SYSTEM_CFLAGS

# The numbers, and what they should become. Nothing here is fused, whatever the compiler: the product is volatile.
cat >"$work/expect.c" <<'C'
#include <math.h>
#include <stdio.h>
#include <string.h>
enum { ROWS = 5, WIDTH = 1003 };
static void save(const char *path, const float *x)
{
    char header[128];
    FILE *f = fopen(path, "wb");
    memcpy(header, "\223NUMPY\001\000\166\000", 10);
    snprintf(header + 10, sizeof header - 10, "%-117s", "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 1003), }");
    header[127] = '\n';
    fwrite(header, 1, sizeof header, f);
    fwrite(x, sizeof *x, ROWS * WIDTH, f);
    fclose(f);
}
int main(void)
{
    static float x[ROWS * WIDTH], y[ROWS * WIDTH];
    unsigned random = 1, fused = 0;
    for (int i = 0; i < ROWS * WIDTH; i++) {
        random = random * 1664525u + 1013904223u;
        x[i] = (float)(int)random * 0x1p-31f;
        volatile float product = x[i] * 1.1f;
        y[i] = product + 0.3f;
        fused += y[i] != fmaf(x[i], 1.1f, 0.3f);
    }
    save("x.npy", x);
    save("expected.npy", y);
    return fused < 100; /* contraction would show */
}
C
cd "$work" || exit 1
log "${CC:-cc}" expect.c -o expect -lm && log ./expect
report "a fused product would be seen"
tail -c +129 expected.npy >expected

paths=scalar
case $(uname -m) in
    x86_64)
        grep -qw avx2 /proc/cpuinfo && paths="$paths avx2"
        grep -qw avx512vl /proc/cpuinfo && paths="$paths avx512" ;;
    aarch64) paths="$paths neon" ;;
esac

others='gcc clang'
[ -z "${SANITIZERS-}" ] || others= # a sanitizer sees nothing of what these compile
tried=
for cc in "${CC:-cc}" $others; do
    command -v ${cc%% *} >/dev/null || { echo "# skipped: no $cc here"; continue; }
    version=$($cc --version | head -1 | cut -d ' ' -f 2- | tr ' ' _) # cc is mostly one of the others
    case " $tried " in *" $version "*) continue ;; esac
    tried="$tried $version"
    folder=$work/plugins-${cc%% *}
    mkdir "$folder"
    cp "$SRC/tests/third_party/scale_add.c" .
    log $cc -shared -fPIC -O3 $($PKG_CONFIG --cflags heed-plugin) scale_add.c -o "$folder/scale_add.so" && [ ! -s log ]
    report "$cc: one plain command builds it, without a warning"
    log $cc -shared -fPIC -O3 -Wall -Wextra -Werror $($PKG_CONFIG --cflags heed-plugin) scale_add.c -o strict.so
    report "$cc: -Wall -Wextra finds nothing"

    cp "$SRC/tests/third_party/scale_add_oracle.c" .
    log $cc -shared -fPIC -O2 -Wall -Wextra -Werror $($PKG_CONFIG --cflags heed-plugin) scale_add_oracle.c -o oracle.so -lm
    report "$cc: its oracle is one file and one command too"

    HEED_PLUGINS=$folder
    export HEED_PLUGINS
    log "$heed" list && grep -q 'example/affine' log
    report "$cc: heed list has it"
    log "$heed" describe example/affine && grep -q 'out = factor \* x + offset' log && grep -q 'multiplies x' log
    report "$cc: heed describe tells its formula and its params"
    for path in $paths; do
        rm -f y.npy y
        log "$heed" run 'example/affine(factor=1.1, offset=0.3)' -i x=x.npy -o out=y.npy --isa "$path" && tail -c +129 y.npy >y && log cmp y expected
        report "$cc: $path gives the bits of a product and a sum"
    done
    log "$heed" check "$folder/scale_add.so" --oracle "$work/oracle.so" --cases 30 && grep -q '^ok - example/affine bound' log
    report "$cc: heed check has no findings, and its oracle is asked"
    log "$heed" bench --suite --tiny example/affine && grep -q ' 1 of 1 specs and shapes gave the same bits' log
    report "$cc: heed bench --suite measures it unasked for its shape"
    log env BUILD= SRC="$SRC" sh "$SRC/tests/rules/check_plugins.sh"
    code=$?
    [ $code = 77 ] || { (exit $code); report "$cc: it keeps the rules of a plugin"; }
done

# The installation is not where configure said, and may be moved on: it finds its own plugins.
unset HEED_PLUGINS
at() { log "$1" describe norm/rms && log "$1" list --json && grep -qF "$2/" "$work/log"; }
at "$heed" "$work/root"; report "heed that was installed elsewhere finds its plugins"
cp -R "$work/root" "$work/moved" && at "$work/moved${heed#"$work/root"}" "$work/moved"
report "heed that was moved finds its plugins"
ln -s "$work/moved${heed#"$work/root"}" "$work/link" && at "$work/link" "$work/moved"; report "by a link too"

# A new plugin, from the installed heed: headers, templates and command are found where they were installed.
unset HEED_PLUGINS
log env HEED_PLUGINS="$work" "$heed" new norm theirs && log "$MAKE" -C theirs all CFLAGS='-O3 -Wall -Wextra -Werror' PKG_CONFIG="$PKG_CONFIG" &&
    HEED_PLUGINS=theirs/theirs.so log "$heed" describe norm/theirs
report "heed new works from where it is installed"

# From an installation that was moved into a folder with blanks, with nothing set that leads to it.
mkdir -p "$work/my heed, today's" here && mv "$work/moved" "$work/my heed, today's/moved"
there=$work/my\ heed,\ today\'s/moved${heed#"$work/root"}
moved() { log env -u PKG_CONFIG_PATH -u PKG_CONFIG_SYSROOT_DIR -u HEED -u PKG_CONFIG -u MAKEFLAGS -u MAKELEVEL "$@"; }
(cd here && moved "$there" new norm spaced && moved "$MAKE" -C spaced all CFLAGS='-O3 -Wall -Wextra -Werror' &&
    grep -qF "HEED ?= '" spaced/Makefile && moved "$MAKE" -C spaced -n check && grep -qF "today'\\''s" "$work/log" &&
    moved "$there" check "$PWD/spaced/spaced.so" --oracle "$PWD/spaced/spaced_oracle.so" --cases 10)
report "heed new works from a folder with blanks, where heed was moved to"
(cd here && PATH=$(dirname "$there"):$PATH && export PATH && moved heed new norm by_name &&
    grep -qx 'HEED ?= heed' by_name/Makefile && moved "$MAKE" -C by_name all)
report "heed new: found by its name, it is called by its name"

# An application: the program of README.md and its command, and the one of docs/python.md.
[ -z "${SANITIZERS-}" ] || { echo "SKIPPED applications: libheed is built with a sanitizer, and they are not"; exit $bad; }
LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libheed.so*' | head -1)") # and beside it are the plugins
export LD_LIBRARY_PATH
block() { awk -v begin="\`\`\`$1" '/^```/ { run = !run && $0 == begin; next } run' "$2"; }
block c "$SRC/README.md" >app.c
block 'sh app' "$SRC/README.md" >app.sh
log sh -e app.sh && grep -q '^-3 ' log # the first token sees itself alone
report "README.md: the program in C, by its command"
if python3 -c 'import numpy' 2>/dev/null; then
    block python "$SRC/docs/python.md" >app.py
    log env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$SRC/python" python3 app.py && grep -q 'largest error' log
    report "docs/python.md: NumPy and the installed heed"
else
    echo "# skipped: docs/python.md needs python3 with numpy"
fi
exit $bad
