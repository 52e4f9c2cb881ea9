"""Bash, with bc and awk for the programs that call them.

A one-line script reads the program, whose last lines send the key, empties its file and evaluates it: so no
file and no variable holds the key while the candidate runs, lines keep their numbers, and bash parses one
command after the other, as ever. At the end, status and defences are checked: a function may have taken the
name of a command that the tests rely on, and a DEBUG trap may have skipped them.
"""

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """IFS= read -r -d '' program <program; : >program; eval "unset program; $program"\n"""
# POSIX mode, which an assignment turns on, finds `unset` and `exit` before functions of these names.
_END = (
    "\nstatus_{key}=$?; POSIXLY_CORRECT=1; unset -f builtin; "
    "functions_{key}=$(builtin declare -F)' '; "
    "functions_{key}=${{functions_{key}//$'\\n'/ }}; "
    "if [[ $status_{key} = 0 && "
    "! $functions_{key} =~ -f\\ (set|test|\\[|exit|return|printf|declare|shopt|local|eval|unset)\\  ]] && "
    "! builtin shopt -q extdebug; then builtin printf %s {key} >&63; fi; exit $status_{key}\n"
)

BASH = Language(
    name="bash",
    tools=(
        apt("bash", "bash"),
        apt("bc", "bc", needed_by=r"\bbc\b"),
        apt("awk", "mawk", needed_by=r"\bawk\b"),
    ),
    version_command=("bash", "--version"),
    files=lambda source, key: {"program.sh": _LAUNCHER, "program": source + _END.format(key=key)},
    key_is_in_files=True,
    run=("bash", "program.sh"),
    syntax_error_mark="syntax error",
)
