#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_completion.sh: heed completion, in a real bash: what it offers behind a command line. Where zsh is installed,
# that its script is one that zsh reads.
: "${HEED:?}" "${HEED_PLUGINS:?}"
command -v bash >/dev/null || { echo "SKIPPED completion: there is no bash"; exit 0; }
work=$(mktemp -d "${TMPDIR:-/tmp}/heed-completion.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
bad=0
report() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/# /' out | head -20; bad=1; fi; }
"$HEED" completion bash >script || bad=1
touch model.safetensors

# offers LINE: the words of COMPREPLY, one a line, in `out`. The line is split as bash does that.
cat >ask <<'ASK'
source ./script
IFS=$'\n' read -r -d '' -a COMP_WORDS <"$1"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[[ ${COMP_WORDS[COMP_CWORD]} == '<nothing>' ]] && COMP_WORDS[COMP_CWORD]=
_heed
printf '%s\n' "${COMPREPLY[@]}"
ASK
offers() {
    { printf '%s\n' "$HEED" "$@"; printf '\000'; } >line
    bash ./ask line >out 2>err
    [ ! -s err ]
}
has() { for word; do grep -qxF -e "$word" out || { echo "# not offered: $word"; return 1; }; done; }
only() { has "$@" && [ "$(wc -l <out)" = $# ]; }

offers '<nothing>' && has list describe plan field run generate score train bench compare new check topo completion help
report $? 'all commands'
offers field --measure tr && only truncation
report $? 'the measures of heed field'
offers train --schedule sl && only slanted
report $? 'the schedules of heed train'
offers be && only bench
report $? 'a command'
offers bench --ov && only --overhead && offers run - && has -i -o --trace --isa --threads --help
report $? 'the options of a command, and those that all share'
offers bench --isa avx512 && has avx512 avx512_bf16 &&
    offers list --isa = sc && only scalar && offers topo --pin s && only scatter
report $? 'the values of an option'
offers describe attention/softm && only attention/softmax && offers bench norm/r && only norm/rms
report $? 'ops'
offers bench "'attention/softmax(caus" && only 'attention/softmax(causal=' &&
    offers run "'attention/softmax(causal=true, sof" && only 'attention/softmax(causal=true, softcap='
report $? 'the settings of an op, in quotes'
offers run "'attention/softmax(causal=bot" && only 'attention/softmax(causal=bottom_right' &&
    offers run "'attention/softmax(position=ali" && only 'attention/softmax(position=alibi'
report $? 'the values of a setting'
offers score mod && only model.safetensors && offers bench --json mod && only model.safetensors &&
    offers run -i x = mod && only model.safetensors
report $? 'files'
offers new att && only attention && offers help top && only topo && offers completion z && only zsh
report $? 'kinds, commands, shells'
"$HEED" completion fish >out 2>&1
[ $? = 2 ] && grep -q 'bash or zsh' out
report $? 'another shell is refused'
"$HEED" completion zsh >script.zsh && if command -v zsh >/dev/null; then zsh -n script.zsh >out 2>&1; fi
report $? 'the script for zsh'
exit $bad
