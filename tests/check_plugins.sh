#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_plugins.sh: the rules that a plugin keeps, read off the binaries: what it exports and needs, that it keeps no
# writable memory and runs nothing when it is loaded, and that instructions beyond the baseline stand only in the functions of
# the path that asked for them. And who may include whom.
#
#     HEED_PLUGINS=FOLDER[:FOLDER] [BUILD=FOLDER] [SRC=TOP] [NM=nm] [OBJDUMP=objdump] tests/check_plugins.sh
#
# Needs unstripped plugins of the build tree. Other tools check other machines: NM=aarch64-linux-gnu-nm OBJDUMP=...-objdump.

: "${NM:=nm}" "${OBJDUMP:=objdump}" "${SRC:=$(dirname "$0")/..}"
SRC=$(cd "$SRC" && pwd) || exit 2
[ "$OBJDUMP" = : ] || [ "$OBJDUMP" = false ] && OBJDUMP=objdump # libtool's way to say that there is none
for tool in "$NM" "$OBJDUMP"; do
    command -v ${tool%% *} >/dev/null || { echo "1..0 # SKIP no ${tool%% *}"; exit 77; }
done
[ -n "$HEED_PLUGINS" ] || { echo "check_plugins.sh: HEED_PLUGINS is not set" >&2; exit 2; }
bad=0

# rule NAME WHAT-IS-WRONG: nothing wrong is ok.
rule() {
    if [ -z "$2" ]; then echo "ok - $1"; else
        echo "not ok - $1"
        printf '%s\n' "$2" | sed 's/^/# /' | head -20
        bad=1
    fi
}

# What a plugin may need of others: libc's strings and memory, vsnprintf, libm's functions, SLEEF's for one instruction set
# (its generic names write a static pointer); and what the toolchain links in.
strings='mem(cpy|move|set|cmp|chr)|str(len|cmp|ncmp|chr|rchr|str)|vsnprintf|__(memcpy|memmove|memset|vsnprintf)_chk|__stack_chk_fail'
maths='(fma|sqrt|exp|exp2|expm1|log|log2|log1p|pow|sin|cos|sincos|tan|tanh|erf|erfc|fmod|floor|ceil|rint|nearbyint|ldexp|frexp)f?'
sleef='Sleef_[fc]inz_[a-z0-9_]+'
toolchain='__cxa_finalize|__gmon_start__|_ITM_(de)?registerTMCloneTable'

# The instructions of each function, judged by its name without clones' endings (.part.0 and the like).
# any=1: a function with "avx" in its name may use all of them (bench); else only what its ending says.
judge='
    function wrong(why) { if (!(name in seen)) print name ": " why ": " $0; seen[name] = 1 }
    /^[0-9a-f]+ <.*>:$/ { name = $2; sub(/^</, "", name); sub(/>:$/, "", name); base = name; sub(/\..*$/, "", base)
                          level = base ~ /_avx512_bf16$/ ? 4 : base ~ /_avx512$/ ? 3 : base ~ /_avx2$/ ? 2 : 1
                          if (any && base ~ /avx/) level = 4
                          next }
    NF < 2 { next }
    /bf16ps|ps2bf16/ && level < 4 { wrong("AVX-512 BF16"); next }
    /%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])/ && level < 3 { wrong("AVX-512"); next }
    /%ymm/ && level < 2 { wrong("AVX"); next }
    ($2 ~ /^v/ && /%xmm/ || $2 ~ /^vzero/) && level < 2 { wrong("AVX"); next }
    $2 ~ /^(andn|bextr|blsi|blsr|blsmsk|lzcnt|bzhi|pdep|pext|mulx|rorx|sarx|shlx|shrx|movbe|popcnt)[lqw]?$/ && level < 2 { wrong("BMI and the like") }'

machine() { $OBJDUMP -f "$1" 2>/dev/null | sed -n 's/^architecture: \([^,]*\),.*/\1/p'; }

check_plugin() {
    so=$1 name=$(basename "$1")
    x86=
    case $(machine "$so") in
        i386:x86-64) x86=1 ;;
        '') rule "$name: it is a binary that $OBJDUMP can read" "no architecture"; return ;;
    esac
    rule "$name: exports one symbol" "$($NM -D --defined-only "$so" | awk '$NF != "heed_plugin_v0" { print } $NF == "heed_plugin_v0" { n++ } END { if (n != 1) print "heed_plugin_v0: " n + 0 }')"
    rule "$name: needs nothing but strings, memory and maths" \
        "$($NM -D --undefined-only "$so" | awk '{ sub(/@.*/, "", $NF); print $NF }' | grep -Evx "$strings|$maths|$sleef|$toolchain")"
    rule "$name: has no constructor but the toolchain's" \
        "$($OBJDUMP -h "$so" | awk '$2 ~ /^\.(init_array|fini_array)$/ && $3 != "00000008" { print $2 " has 0x" $3 " bytes" } $2 ~ /^\.(preinit_array|ctors|dtors)/ { print $2 }')"
    rule "$name: has no IFUNC" "$($NM "$so" | awk '$(NF - 1) == "i"'; $OBJDUMP -R "$so" | grep IRELATIVE)"
    rule "$name: has no writable variable" \
        "$($OBJDUMP -h "$so" | awk '$2 ~ /^\.(data|bss)$/ && $3 !~ /^000000(0[0-9a-f]|10)$/ { print $2 " has 0x" $3 " bytes" } $2 ~ /^\.(tdata|tbss)/ { print $2 }'
           $OBJDUMP -t "$so" | grep -E ' (\.data|\.bss|\*COM\*)	' | awk '$NF !~ /^(__dso_handle|__TMC_END__|completed\.[0-9]+|\.data|\.bss|_edata|_end|__bss_start(__)?|__bss_end__|_bss_end__|__end__|__data_start|\$d)$/')"
    if [ -n "$x86" ]; then
        rule "$name: each instruction in its path's functions" "$($OBJDUMP -d --no-show-raw-insn "$so" | awk "$judge")"
        # the test of the test: this plugin has AVX at all, and the judge sees it
        rule "$name: its paths are seen" "$($OBJDUMP -d --no-show-raw-insn "$so" | sed 's/_avx\(2\|512\|512_bf16\)\(\.[a-z.0-9]*\)\{0,1\}>:$/_other>:/' | awk "$judge" | grep -q AVX || echo "no AVX instruction, even where it may be")"
    fi
}

found=
for folder in $(printf '%s' "$HEED_PLUGINS" | tr : ' '); do
    for so in "$folder"/*.so; do
        [ -e "$so" ] || continue
        found=1
        if $NM -D --undefined-only "$so" | grep -Eq '__(asan|ubsan|tsan|msan|hwasan|gcov|sanitizer)_'; then
            echo "1..0 # SKIP the plugins are built with a sanitizer or for coverage"
            exit 77
        fi
        check_plugin "$so"
    done
done
rule "there are plugins in $HEED_PLUGINS" "$([ -n "$found" ] || echo none)"

# The engine: only a benchmark's loops, which say so in their names, are made for more than the baseline.
heed=${BUILD:+$BUILD/engine/heed}
if [ -n "$heed" ] && [ "$(machine "$heed")" = i386:x86-64 ]; then
    rule "$(basename "$heed"): AVX in functions named so alone" "$($OBJDUMP -d --no-show-raw-insn "$heed" | awk -v any=1 "$judge")"
fi

# Who may include whom: abi <- engine, abi <- kit <- plugins.
includes() { grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' "$SRC/$1"; }
rule "abi includes itself and the C library" "$(includes abi | grep -Ev 'include ("[a-z_]+\.h"|<std(def|int)\.h>)')"
rule "plugins include no header of the engine" \
    "$(includes plugins | grep -E '<heed/heed\.h>|engine|\.\./'; includes plugins | sed -n 's/.*include "\([^"]*\)".*/\1/p' | while read -r h; do [ ! -e "$SRC/engine/$h" ] || echo "$h is the engine's"; done)"
rule "plugins start no thread, open no file, allocate nothing" \
    "$(includes plugins | grep -E '<(pthread|threads|stdlib|unistd|fcntl|dlfcn|signal|sys/[a-z]+)\.h>')"
rule "the engine includes no header of the kit" "$(includes engine | grep -E 'kit|plugins/')"
exit $bad
