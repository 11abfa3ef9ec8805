#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_surroundings.sh: the command where the machine around it is unusual: under a quota of CPU time, without /sys, with
# little stack, with the rights of another user, with files that others own. Most need root, and are told as skipped
# where it cannot be had.
#
#     HEED=PATH tests/command/test_surroundings.sh      HEED is the command itself, not a script that runs it

heed=${HEED-build/engine/heed}
case $heed in /*) ;; *) heed=$PWD/$heed ;; esac
[ -z "${TESTEXEC-}" ] || { echo '1..0 # SKIP an emulator has its own /proc'; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-surroundings.XXXXXX") || exit 1
chmod 755 "$work"
group=
trap 'rm -rf "$work"; [ -z "$group" ] || rmdir "$group"' EXIT
trap 'exit 1' HUP INT TERM
bad=0
unset HEED_ISA

# report NAME: what has just been tested, by $?; what was said is in the files out and err.
report() {
    if [ $? = 0 ]; then echo "ok - $1"; return; fi
    echo "not ok - $1"
    sed 's/^/# /' "$work/out" "$work/err"
    bad=1
}
skip() { echo "ok - $1 # SKIP $2"; }

# ---- a quota: half a CPU, in a control group of its own ----

for top in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
    [ -w $top/cgroup.procs ] && { [ $top != /sys/fs/cgroup ] || grep -qw cpu $top/cgroup.subtree_control; } || continue
    mkdir "$top/heed-test.$$" 2>"$work/err" && group=$top/heed-test.$$ && break
done
if [ -n "$group" ]; then
    if [ -e "$group/cpu.max" ]; then echo '50000 100000' >"$group/cpu.max"
    else echo 50000 >"$group/cpu.cfs_quota_us"; fi 2>"$work/err"
    inside() { sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@" >"$work/out" 2>"$work/err"; }
    inside "$heed" topo && grep -q '^plan  *1 worker on .*, a quota of 0.5 CPUs' "$work/out"
    report 'a quota of half a CPU is one worker'
    inside "$heed" topo --threads 3 && grep -q '^plan  *3 workers on ' "$work/out"
    report 'a quota: --threads overrides'
    inside "$heed" topo --json && grep -q '"quota": 0.5' "$work/out" && grep -q '"workers": 1' "$work/out"
    report 'a quota: as JSON'
    inside "$heed" topo --synthetic 'core:8 pu:1' && grep -q '^plan  *8 workers on 8 cores, compact$' "$work/out"
    report 'a quota here is none of another machine'
else
    skip 'a quota' 'no control group can be made'
fi

# ---- without /sys, as in a chroot ----

if unshare -m sh -c 'mount -t tmpfs none /sys' 2>"$work/err"; then
    without() { unshare -m sh -c 'mount -t tmpfs none /sys && exec "$@"' sh "$@" >"$work/out" 2>"$work/err"; }
    without "$heed" topo && [ ! -s "$work/err" ] && grep -q 'not pinned: /sys/devices/system/cpu does not' "$work/out"
    report 'no /sys: topo says why nothing is pinned, and hwloc prints nothing'
    without "$heed" topo --json && [ ! -s "$work/err" ] && grep -q '"unpinned": "not pinned: /sys' "$work/out"
    report 'no /sys: as JSON'
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (4096, 8), }" >"$work/x.npy"
    head -c 131072 /dev/zero >>"$work/x.npy"
    without "$heed" run norm/rms -i x="$work/x.npy" -o out="$work/y.npy" && [ ! -s "$work/err" ]
    report 'no /sys: an op runs without a word'
else
    skip 'no /sys' 'no file system can be mounted'
fi

# ---- a small stack ----

model=${SRC-$(cd "$(dirname "$0")/../.." && pwd)}/models/plays.safetensors
if [ -n "${SANITIZERS-}" ]; then
    skip 'a stack of 64 KiB' 'the frames of a sanitizer are larger'
else
    # small COMMAND ...: with the exit status 0 on the first thread and on all others, whose stacks have the same limit.
    small() { (ulimit -s 64 && exec "$heed" "$@") </dev/null >"$work/out" 2>"$work/err"; }
    small generate "$model" --prompt x --tokens 5; report 'a stack of 64 KiB: generate'
    small generate "$model" --prompt x --tokens 5 --threads 3; report 'a stack of 64 KiB: generate on 3 threads'
    small score "$model" "$0"; report 'a stack of 64 KiB: score'
    for words in list topo 'describe attention/softmax' 'describe attention/softmax --shape T=64' \
        'bench attention/softmax(causal=true) --shape T=64,H=2 --isa all --rounds 1' \
        'bench norm/rms --overhead --rounds 1' \
        'bench attention/linear(causal=true) --shape H=2,decode=70 --rounds 1'; do
        small $words; report "a stack of 64 KiB: $words"
    done
    ! small run norm/rmss -i x=x.npy -o out=y.npy && grep -q '^heed: .*rmss' "$work/err"
    report 'a stack of 64 KiB: an op that is not there'
    (cd "$work" && small new attention on_small --on linear); report 'a stack of 64 KiB: new'
fi

# ---- the rights of another user: nothing of the environment loads code or is read ----

cp "$heed" "$work/set-id" && chmod 4755 "$work/set-id"
mkdir "$work/marks" && chmod 777 "$work/marks"
mark=$work/marks/loaded
printf '#include <fcntl.h>\n__attribute__((constructor)) static void here(void) { creat("%s", 0666); }\n' "$mark" >"$work/plugin.c"
as() { setpriv --reuid=65534 --regid=65534 --clear-groups env "$@" >"$work/out" 2>"$work/err"; }
if [ "$(id -u)" = 0 ] && mkdir "$work/plugins" && as "$work/set-id" --version &&
    ${CC:-cc} -shared -fPIC "$work/plugin.c" -o "$work/plugins/hwloc_here.so" 2>"$work/err"; then
    cp "$work/plugins/hwloc_here.so" "$work/plugins/here.so"
    cp "$heed" "$work/plain"
    as HWLOC_PLUGINS_PATH="$work/plugins" "$work/plain" topo
    if [ -e "$mark" ]; then
        rm "$mark"
        for words in topo 'topo --synthetic core:2' 'topo --json' list 'run norm/rms -i x=x.npy -o out=y.npy'; do
            as HWLOC_PLUGINS_PATH="$work/plugins" HEED_PLUGINS="$work/plugins" HEED_ISA=none "$work/set-id" $words
            [ ! -e "$mark" ] && ! grep -q '"none"' "$work/err"; report "set-id: $words loads nothing"
            rm -f "$mark"
        done
        as HWLOC_SYNTHETIC='core:64 pu:1' HWLOC_COMPONENTS=synthetic,stop "$work/set-id" topo && ! grep -q 64 "$work/out"
        report 'set-id: the environment makes up no machine'
    else
        skip 'set-id' 'this hwloc loads no plugins'
    fi
else
    skip 'set-id' 'no set-id program can be made, or no compiler is there'
fi
# ---- whom a plugin may belong to ----

# lists [NAME=VALUE ...] COMMAND ...: COMMAND, with these words at its end, lists norm/rms and refuses nothing.
lists() { env "$@" list >"$work/out" 2>"$work/err" && grep -q '^norm/rms' "$work/out" && ! grep -q '^refused' "$work/out"; }
mkdir "$work/box" "$work/far" && cp "$heed" "$work/box/heed"
rms=$(for folder in $(echo "${HEED_PLUGINS-}" | tr : ' '); do echo "$folder"/norm_rms.so; done)
if [ "$(id -u)" = 0 ] && cp $rms "$work/box/rms.so" 2>"$work/err" && cp "$work/box/rms.so" "$work/far/rms.so"; then
    if unshare -U true 2>"$work/err"; then
        lists HEED_PLUGINS="$work/box" unshare -U "$work/box/heed"
        report 'owners that are not mapped: beside the engine, they own the engine too'
        ! lists HEED_PLUGINS="$work/far" unshare -U "$work/box/heed" && grep -q 'HEED_TRUST=unmapped takes' "$work/out"
        report 'owners that are not mapped: elsewhere they may be anybody'
        lists HEED_PLUGINS="$work/far" HEED_TRUST=unmapped unshare -U "$work/box/heed"
        report 'owners that are not mapped: taken for root if that is asked for'
    else
        skip 'owners that are not mapped' 'no user namespace can be made'
    fi
    chown -R 12345:12345 "$work/box" "$work/far"
    lists HEED_PLUGINS="$work/box" "$work/box/heed"
    report "the engine's owner is trusted beside the engine"
    ! lists HEED_PLUGINS="$work/far" "$work/box/heed" && grep -q 'belongs to user 12345' "$work/out"
    report "the engine's owner is not trusted elsewhere"
    if grep -q '^daemon:[^:]*:1:1:' /etc/passwd && unshare -m true 2>"$work/err"; then
        chown -R 1:1 "$work/far" && chmod 775 "$work/far" "$work/far/rms.so"
        for members in '' daemon other daemon,other; do
            { grep -v '^daemon:' /etc/group; echo "daemon:x:1:$members"; } >"$work/group"
            unshare -m sh -c 'mount --bind "$0/group" /etc/group && HEED_PLUGINS=$0/far exec \
                setpriv --reuid=1 --regid=1 --clear-groups "$1" list' "$work" "$heed" >"$work/out" 2>"$work/err"
            case $members in
                *other) grep -q 'its group can write it' "$work/out" ;;
                *) grep -q '^norm/rms' "$work/out" ;;
            esac
            report "a user's group with the members '$members'"
        done
    else
        skip "a user's group" 'no user daemon, or no file can be mounted'
    fi
else
    skip 'owners' 'no file can be given away'
fi
exit $bad
