// What the shells are told: each hands the words before the cursor to `__complete` and shows the answer.

export const shells = ["bash", "zsh", "fish"] as const;

// Bash cuts words at COMP_WORDBREAKS, which has `=` and `:`: the line is cut anew at blanks, and what stands
// before the last break in the present word is taken off the candidates, since bash keeps it.
const bash = `# bash completion for fairlead
__fairlead_complete() {
    local line="\${COMP_LINE:0:COMP_POINT}" current kept="" directive=0 answer
    local -a words answers
    read -r -a words <<< "$line"
    if [[ "$line" == *[[:space:]] ]]; then words+=(""); fi
    current="\${words[\${#words[@]}-1]}"
    if [[ "$current" == *[=:]* ]]; then kept="\${current%"\${current##*[=:]}"}"; fi
    COMPREPLY=()
    while IFS= read -r answer; do
        case "$answer" in
            :*) directive="\${answer#:}" ;;
            *) answers+=("\${answer%%$'\\t'*}") ;;
        esac
    done < <("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null)
    for answer in "\${answers[@]}"; do COMPREPLY+=("\${answer#"$kept"}"); done
    if (( directive & 4 )); then compopt +o default 2>/dev/null; fi
}
complete -o default -F __fairlead_complete fairlead
`;

const zsh = `#compdef _fairlead fairlead
_fairlead() {
    local line directive=0
    local -a candidates
    while IFS= read -r line; do
        case "$line" in
            :*) directive=\${line#:} ;;
            *) candidates+=("\${\${line//:/\\\\:}/$'\\t'/:}") ;;
        esac
    done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( \${#candidates} )); then
        _describe 'fairlead' candidates
    elif (( ! (directive & 4) )); then
        _files
    fi
}
if [ "\${funcstack[1]}" = "_fairlead" ]; then
    _fairlead
else
    compdef _fairlead fairlead
fi
`;

// Its condition asks once; where it does not hold, fish offers files.
const fish = `# fish completion for fairlead
function __fairlead_ask
    set -l words (commandline -opc) (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] 2>/dev/null)
    set -g __fairlead_candidates (string match -v -r '^:' -- $answer)
    # Bit 4: no files.
    set -l directive (string match -r '^:\\d+' -- $answer | string sub -s 2)
    test (count $__fairlead_candidates) -gt 0; or test (math "floor($directive[1] / 4) % 2") -eq 1
end
complete -c fairlead -n '__fairlead_ask' -f -a '$__fairlead_candidates'
`;

export const scripts: Readonly<Record<(typeof shells)[number], string>> = { bash, zsh, fish };
