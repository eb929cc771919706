"""The scripts by which bash and zsh complete: they ask ``rackferry complete -- WORD...`` (pure).

That word answers with a line for each candidate: what to type, a tab, what it is. The last
WORD is the one that is being typed, and may be empty.
"""

from collections.abc import Mapping

_BASH = r"""# Completion of rackferry in bash. In ~/.bashrc:
#   eval "$(rackferry completion bash)"
_rackferry() {
    local line=${COMP_LINE:0:COMP_POINT} typed part before reply
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    typed=${words[-1]}
    # For bash a word begins anew after each of these characters.
    part=${typed##*[$COMP_WORDBREAKS]}
    before=${typed%"$part"}
    COMPREPLY=()
    while IFS=$'\t' read -r reply _; do
        printf -v reply %q "${reply#"$before"}"
        COMPREPLY+=("$reply")
    done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
}
complete -F _rackferry rackferry
"""
_ZSH = r"""#compdef rackferry
# Completion of rackferry in zsh. In ~/.zshrc, after compinit:
#   eval "$(rackferry completion zsh)"
# or as a file _rackferry in a directory of $fpath.
_rackferry() {
    local reply text
    local -a whole begun whole_shown begun_shown
    for reply in "${(@f)$("$words[1]" complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        text=${reply%%$'\t'*}
        [[ -n $text ]] || continue
        if [[ $text == *[=/] ]]; then
            begun+=("$text")
            begun_shown+=("${reply/$'\t'/  }")
        else
            whole+=("$text")
            whole_shown+=("${reply/$'\t'/  }")
        fi
    done
    compadd -V rackferry -l -d whole_shown -a whole
    compadd -V rackferry -l -d begun_shown -S '' -a begun
}
if [[ $funcstack[1] == _rackferry ]]; then
    _rackferry "$@"
else
    compdef _rackferry rackferry
fi
"""

SCRIPTS: Mapping[str, str] = {"bash": _BASH, "zsh": _ZSH}
