# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for imgtool: the program itself knows the answers.

# _imgtool_names -f|-d PREFIX: names of files or folders that stand behind PREFIX in $cur
_imgtool_names()
{
    local name
    compopt -o filenames 2> /dev/null
    while IFS= read -r name; do
        if [[ $2 && $2 != "$cut" && -d $name ]]; then
            # bash itself sees no folder in "-Bfolder"
            name+=/
            compopt -o nospace 2> /dev/null
        fi
        name=$2$name
        COMPREPLY+=("${name#"$cut"}")
    done < <(compgen "$1" -- "${cur#"$2"}")
}

_imgtool()
{
    local i line cur cut='' words=()
    for ((i = 2; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[1]} == lock && ${COMP_WORDS[i]} == -- ]] || continue
        # behind "lock IMAGE... --" stands a command line of its own
        if declare -F _command_offset > /dev/null; then
            _command_offset $((i + 1))
        else
            line=$((i + 1 == COMP_CWORD ? 1 : 0))
            compopt -o filenames 2> /dev/null
            mapfile -t COMPREPLY < <(compgen "$( ((line)) && echo -c || echo -f)" -- "${COMP_WORDS[COMP_CWORD]}")
        fi
        return
    done
    for ((i = 1; i <= COMP_CWORD; i++)); do
        # bash cuts words at "=" (COMP_WORDBREAKS): put --option=value together again
        if ((i > 1)) && [[ ${COMP_WORDS[i]} == = || ${COMP_WORDS[i - 1]} == = ]]; then
            words[-1]+=${COMP_WORDS[i]}
        else
            words+=("${COMP_WORDS[i]}")
        fi
    done
    cur=${words[-1]}
    [[ $COMP_WORDBREAKS == *=* && $cur == *=* ]] && cut=${cur%"${cur##*=}"}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) _imgtool_names -f '' ;;
            ':files '*) _imgtool_names -f "${line#* }" ;;
            :folders) _imgtool_names -d '' ;;
            ':folders '*) _imgtool_names -d "${line#* }" ;;
            *)
                [[ $line == *= ]] && compopt -o nospace 2> /dev/null
                COMPREPLY+=("${line#"$cut"}")
                ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2> /dev/null)
}
complete -F _imgtool imgtool
