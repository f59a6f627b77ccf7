# SPDX-License-Identifier: Apache-2.0
#
# Completions of imgfs(1) and mount.imgfs(8) for fish.  The program itself knows what may stand where
# (fs/complete.h); here is only what fish needs to be told it.

function __imgfs_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (imgfs --complete $words "$current" 2>/dev/null)
        set -l parts (string split \t -- $line)
        switch $parts[1]
            case :files :directories
                set -l before (string sub -l $parts[2] -- "$current")
                set -l path (string sub -s (math $parts[2] + 1) -- "$current")
                set -l names (__fish_complete_path "$path")
                if test $parts[1] = :directories
                    set names (__fish_complete_directories "$path")
                end
                for name in $names
                    echo $before$name
                end
            case :list
                set -f in_list yes
            case '*'
                echo $line
                # Of two fish inserts what they share, with no blank behind it.
                if set -q in_list; and not string match -q '*=' -- $parts[1]
                    echo $parts[1],
                end
        end
    end
end

complete -c imgfs -c mount.imgfs -f -a '(__imgfs_complete)'
