# bash completion of heed: the program itself knows what may follow.
_heed()
{
    local -a words=()
    local i word joined='' line
    # bash splits words at "=", which heed does not
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ $word == '=' || ${COMP_WORDS[i - 1]} == '=' ]]; then
            words[${#words[@]} - 1]+=$word
            joined=yes
        else
            words+=("$word")
            joined=
        fi
    done
    local current=${words[${#words[@]} - 1]} quote=
    case $current in [\'\"]*) quote=${current:0:1} current=${current:1} ;; esac
    words[${#words[@]} - 1]=$current
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :files)
            compopt -o filenames 2>/dev/null
            word=$current
            [[ $joined ]] && word=${current#*=}
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word")
            ;;
        *)
            case $line in *[=\(,]) compopt -o nospace 2>/dev/null ;; esac
            [[ $joined ]] && line=${line#"${current%"${current##*=}"}"}
            # what the shell would take for its own, outside of quotes
            [[ $line == *[\(\)]* && ! $quote ]] && line=$(printf '%q' "$line")
            COMPREPLY+=("$line")
            ;;
        esac
    done < <("${words[0]}" completion --words -- "${words[@]:1}" 2>/dev/null)
}
complete -F _heed heed
