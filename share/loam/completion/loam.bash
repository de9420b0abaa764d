# bash completion for loam. What may stand where is asked of the program itself (loam help --complete), which has it from
# the tables that its --help is made of.

_loam() {
    local -a words=() lines=()
    local i word line cut file

    # bash has cut the words at = and : too; the program wants them whole.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 1)) && [[ $word == [=:]* || ${COMP_WORDS[i - 1]} == *[=:] ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    word=${words[-1]}
    cut=${word%"${word##*[=:]}"} # what stands before the part that bash replaces
    file=${word#--*=}

    mapfile -t lines < <("${COMP_WORDS[0]}" help --complete -- "${words[@]}" 2>/dev/null)
    COMPREPLY=()
    for line in "${lines[@]}"; do
        case $line in
        ':files '*)
            compopt -o filenames
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -X "!*${line#:files }" -- "$file"; compgen -d -- "$file")
            ;;
        :files)
            compopt -o filenames
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$file")
            ;;
        :folders)
            compopt -o filenames
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$file")
            ;;
        *)
            line=${line%%$'\t'*}
            [[ $line == *: ]] && compopt -o nospace
            COMPREPLY+=("${line#"$cut"}")
            ;;
        esac
    done
}

complete -F _loam loam
