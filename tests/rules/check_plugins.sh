#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_plugins.sh: the rules that a plugin keeps, read off the binaries: what it exports and needs, that it keeps no
# writable memory and runs nothing when it is loaded, and that instructions beyond the baseline stand only in the functions of
# the path that asked for them. And who may include whom.
#
#     HEED_PLUGINS=FOLDER[:FOLDER] [BUILD=FOLDER] [SRC=TOP] [NM=nm] [OBJDUMP=objdump] tests/rules/check_plugins.sh
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

# The instructions of each function, judged by its name without clones' endings (.part.0 and the like): what a path may use is
# what its ending says; everything else is for the baseline, x86-64 or Armv8-A. Any VEX or EVEX encoding counts, by its first
# byte, which nothing else has. any=1: a function with "avx" in its name may use all of it (bench).
judge='
    BEGIN { FS = "\t"; level["_avx2"] = 1; level["_avx512"] = 2; level["_avx512_bf16"] = 3
            old = "^(lddqu|movs[hl]dup|movddup|h(add|sub)p[sd]|addsubp[sd]|pshufb|palignr|p(abs|sign)[bwd]|ph(add|sub)s?[wd]|pmaddubsw" \
                  "|pmulhrsw|round[ps][sd]|p?blend(vb|v?p[sd]|w)|dpp[sd]|insertps|extractps|p(ins|ext)r[bdq]|pmov[sz]x[bwd][wdq]|pmulld" \
                  "|pmuldq|ptest|packusdw|pm(ax|in)(sb|uw|sd|ud)|pcmp(eq|gt)q|phminposuw|mpsadbw|movntdqa|crc32[bwlq]?|pcmp[ei]str[im]" \
                  "|aes[a-z0-9]+|sha(1|256)[a-z0-9]+|pclmul[a-z]*|popcnt[wlq]?|lzcnt[wlq]?|movbe[wlq]?|ad[co]x[lq]?)$" }
    function wrong(why) { if (!(name in seen)) print name ": " why ": " $3 " " $4; seen[name] = 1 }
    /^[0-9a-f]+ <.*>:$/ { name = $0; sub(/^[0-9a-f]+ </, "", name); sub(/>:$/, "", name); base = name; sub(/\..*$/, "", base)
                          have = 0; for (e in level) if (substr(base, length(base) - length(e) + 1) == e) have = level[e]
                          if (any && base ~ /avx/) have = 3
                          next }
    NF < 3 { next }
    { word = $3; sub(/ .*/, "", word) }
    arm && base ~ /^__aarch64_/ { next } # atomics of libgcc, which asks the CPU first
    arm && word ~ /^bf(dot|mmla|cvt|mlal)/ && base !~ /_bf16$/ { wrong("BF16") }
    arm && $4 ~ /(^|[^a-z0-9])(z[0-9]+\.|p[0-9]+[.\/])/ && base !~ /_sve$/ { wrong("SVE") }
    arm && word ~ /^[us]+(dot|mmla)$/ { wrong("dot products") }
    arm && word ~ /^f/ && word !~ /^fcvt[ln]?2?$/ && $4 ~ /(^|[^a-z0-9])(v[0-9]+\.[48]?h|h[0-9]+)([^a-z0-9]|$)/ { wrong("FP16 arithmetic") }
    arm && word ~ /^(cas|swp|ld(add|clr|set|eor|[su]max|[su]min))(a?l?|al)[bh]?p?$/ { wrong("LSE atomics") }
    arm { next }
    { code = $2; sub(/^ */, "", code); while (code ~ /^(26|2e|36|3e|64|65|67) /) code = substr(code, 4) }
    word ~ /bf16ps|ps2bf16/ && have < 3 { wrong("AVX-512 BF16") }
    (code ~ /^62 / || $3 ~ /%k[0-7]/) && have < 2 { wrong("AVX-512") }
    code ~ /^(c4|c5|8f [a-f89]) / && have < 1 { wrong("AVX or BMI") }
    word ~ old && have < 1 { wrong("beyond x86-64") }'
listing() { $OBJDUMP -d --insn-width=16 "$1"; }

# The test of the test: FUNCTION CODE INSTRUCTION, as objdump prints them; the first word is what is to be seen, or "-".
hear() {
    printf '%s\n' "$3" | while IFS='|' read -r want name code text; do
        got=$(printf '0 <%s>:\n 0:\t%s \t%b\n' "$name" "$code" "$text" | awk $1 "$judge")
        case "$want$got" in -) ;; -*) echo "$name: $text: seen: $got" ;; *) [ "${got#*: "$want"}" != "$got" ] || echo "$name: $text: not seen" ;; esac
    done
}
rule "the judge of x86 instructions sees them" "$(hear '-v arm=0' x86 'AVX|f|c5 f8 77|vzeroupper
AVX|f|c5 f8 ae 18|vstmxcsr (%rax)
AVX|f|64 c5 f8 10 00|vmovups %fs:(%rax),%xmm0
AVX|f_scalar|c4 e2 f8 f2 c1|andn   %rcx,%rax,%rax
AVX-512|f_avx2|62 f1 7c 48 58 c1|vaddps %zmm1,%zmm0,%zmm0
AVX-512|f_avx2|62 f1 7c 08 58 c1|vaddps %xmm1,%xmm0,%xmm0
AVX-512|f_avx2|c5 f8 92 c8|kmovw  %eax,%k1
AVX-512 BF16|f_avx512|62 f2 76 48 52 c2|vdpbf16ps %zmm2,%zmm1,%zmm0
beyond|f|66 0f 38 00 c1|pshufb %xmm1,%xmm0
beyond|f|f3 0f b8 c1|popcnt %ecx,%eax
-|f|0f 58 c1|addps  %xmm1,%xmm0
-|f_avx2.part.0|c5 f8 77|vzeroupper
-|f_avx512.constprop.0|62 f1 7c 48 58 c1|vaddps %zmm1,%zmm0,%zmm0
-|f_avx512_bf16|62 f2 76 48 52 c2|vdpbf16ps %zmm2,%zmm1,%zmm0')"
rule "the judge of Arm instructions sees them" "$(hear '-v arm=1' arm 'BF16|f_neon|6e42fc20|bfdot\tv0.4s, v1.8h, v2.8h
SVE|f|2598e3e0|ptrue\tp0.s
SVE|f_neon|a540a000|ld1w\t{z0.s}, p0/z, [x0]
FP16|f_neon|4e421420|fadd\tv0.8h, v1.8h, v2.8h
FP16|f|1ee12800|fadd\th0, h0, h1
dot|f|4e829420|sdot\tv0.4s, v1.16b, v2.16b
LSE|f|88e0fc41|casal\tw0, w1, [x2]
-|f_neon_bf16|6e42fc20|bfdot\tv0.4s, v1.8h, v2.8h
FP16|f_neon|4ef9b820|fcvtzs\tv0.8h, v1.8h
FP16|f|1ef80000|fcvtzs\tw0, h0
LSE|f|b8210041|ldadd\tw1, w1, [x2]
LSE|f|38e10041|ldaddalb\tw1, w1, [x2]
-|f_neon|0e217800|fcvtl\tv0.4s, v0.4h
-|f_neon|4e217800|fcvtl2\tv0.4s, v1.8h
-|f_neon|0e216820|fcvtn\tv0.4h, v1.4s
-|f_neon|4e216820|fcvtn2\tv0.8h, v1.4s
-|f_scalar|1ee24000|fcvt\ts0, h0
-|f_scalar|7d400000|ldr\th0, [x0]
-|f_neon|4e22d420|fadd\tv0.4s, v1.4s, v2.4s
-|__aarch64_cas4_acq_rel|88e0fc41|casal\tw0, w1, [x2]')"

machine() { $OBJDUMP -f "$1" 2>/dev/null | sed -n 's/^architecture: \([^,]*\),.*/\1/p'; }

check_plugin() {
    so=$1 name=$(basename "$1")
    case $(machine "$so") in
        i386:x86-64) arm=0 ;;
        aarch64) arm=1 ;;
        *) rule "$name: it is a binary that $OBJDUMP can read" "no architecture that is known"; return ;;
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
    rule "$name: each instruction in its path's functions" "$(listing "$so" | awk -v arm="$arm" "$judge")"
    # this plugin has AVX at all, and the judge sees it there
    [ "$arm" = 1 ] || rule "$name: its paths are seen" "$(listing "$so" | sed 's/_avx\(2\|512\|512_bf16\)\(\.[a-z.0-9]*\)\{0,1\}>:$/_other>:/' | awk "$judge" | grep -q AVX || echo "no AVX instruction, even where it may be")"
}

found=
for folder in $(printf '%s' "$HEED_PLUGINS" | tr : ' '); do
    for so in "$folder"/*.so; do
        [ -e "$so" ] || continue
        case ${so##*/} in transport_*) # it may need what it likes
            rule "${so##*/}: it exports heed_transport_v0 alone" \
                "$($NM -D --defined-only "$so" | awk '$3 != "heed_transport_v0"')"
            continue ;;
        esac
        found=1
        if $NM -D --undefined-only "$so" | grep -Eq '__(asan|ubsan|tsan|msan|hwasan|gcov|sanitizer)_'; then
            echo "1..0 # SKIP the plugins are built with a sanitizer or for coverage"
            exit 77
        fi
        check_plugin "$so"
    done
done
rule "there are plugins in $HEED_PLUGINS" "$([ -n "$found" ] || echo none)"

# The engine, as a command and as a library: only a benchmark's loops, which say so in their names, are made for more than the
# baseline.
for binary in ${BUILD:+"$BUILD/engine/heed" "$BUILD/engine/.libs/libheed.so"}; do
    case $(machine "$binary") in aarch64) arm=1 ;; *) arm=0 ;; esac
    rule "$(basename "$binary"): instructions beyond the baseline in functions named so alone" \
        "$(listing "$binary" | awk -v any=1 -v arm=$arm "$judge"; listing "$binary" | grep -q '<.*>:' || echo "no code is seen")"
done

# Who may include whom: abi <- engine, abi <- kit <- plugins.
includes() { grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' "$SRC/$1"; }
rule "abi includes itself and the C library" "$(includes abi | grep -Ev 'include ("[a-z_]+\.h"|<std(def|int)\.h>)')"
rule "plugins include no header of the engine" \
    "$(includes plugins | grep -E '<heed/heed\.h>|engine|\.\./'; includes plugins | sed -n 's/.*include "\([^"]*\)".*/\1/p' | while read -r h; do [ ! -e "$SRC/engine/$h" ] || echo "$h is the engine's"; done)"
rule "plugins start no thread, open no file, allocate nothing" \
    "$(includes plugins | grep -v '/plugins/transport/' | grep -E '<(pthread|threads|stdlib|unistd|fcntl|dlfcn|signal|sys/[a-z]+)\.h>')"
# The commands are no part of the library: one rounds numbers for bench as the kit does (check_arrows.sh has all rooms).
rule "the engine includes no header of the kit but half.h, numbers of 16 bits" \
    "$(includes engine | grep -E 'kit|plugins/' | grep -v 'kit/core/half\.h')"
exit $bad
