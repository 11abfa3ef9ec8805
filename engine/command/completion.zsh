#compdef heed
# zsh completion of heed: the program itself knows what may follow.
_heed()
{
    local -a lines partial whole
    local line current=${words[CURRENT]#[\'\"]} # a quote that is still open is no part of the word
    [[ $current == $words[CURRENT] ]] && current=${(Q)current}
    lines=("${(@f)$("${(Q)words[1]}" completion --words -- "${(@Q)words[2,CURRENT-1]}" "$current" \
        2>/dev/null)}")
    for line in "${lines[@]}"; do
        case $line in
        '') ;;
        :files)
            [[ $PREFIX == *=* ]] && compset -P '*='
            _files
            ;;
        *[=\(,]) partial+=("$line") ;;
        *) whole+=("$line") ;;
        esac
    done
    (($#partial)) && compadd -S '' -- "${partial[@]}"
    (($#whole)) && compadd -- "${whole[@]}"
}
if [[ $funcstack[1] == _heed ]]; then _heed "$@"; else compdef _heed heed; fi
