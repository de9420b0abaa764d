# fish completion for loam. What may stand where is asked of the program itself (loam help --complete), which has it from
# the tables that its --help is made of.

function __loam_complete
    set -l words (commandline -opc)
    set -l last "$(commandline -ct)"
    for line in ($words[1] help --complete -- $words[2..] $last 2>/dev/null)
        switch $line
            case ':files *'
                set -l ending (string replace ':files ' '' -- $line)
                for file in $last*
                    if test -d $file
                        echo $file/
                    else if string match -q "*$ending" -- $file
                        echo $file
                    end
                end
            case ':files'
                __fish_complete_path $last
            case ':folders'
                __fish_complete_directories $last
            case '*'
                echo $line
        end
    end
end

complete -c loam -f -a '(__loam_complete)'
