# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for imgtool: the program itself knows the answers.

# -v: what is offered; -q: whether file names are, which fish itself completes best
function __imgtool_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l guard (contains -i -- -- $words[1..-2])
    if test -n "$guard" -a "$words[2]" = lock
        # behind "lock IMAGE... --" stands a command line of its own
        test $argv = -q && return 1
        set -e words[1..$guard]
        complete -C (string join -- ' ' (string escape -- $words[1..-2]) $words[-1])
        return
    end
    set words[1] (string replace -r '^~/' ~/ -- $words[1])
    type -q $words[1] || return 1
    set -l answer ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    test $argv = -q && return (contains -- :files $answer; echo $status)
    for line in $answer
        set -l names (string match -rg '^:(files|folders) ?(.*)$' -- $line)
        set -l name (string sub -s (math (string length -- "$names[2]") + 1) -- $words[-1])
        switch "$line"
            case :files
            case ':files *'
                printf '%s\n' $names[2](__fish_complete_path $name)
            case ':folders*'
                printf '%s\n' $names[2](__fish_complete_directories $name '')
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c imgtool -f -a '(__imgtool_complete -v)'
complete -c imgtool -F -n '__imgtool_complete -q'
