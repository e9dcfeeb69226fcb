"""Print what a shell needs to complete verbs, options and their values: bash or zsh.

bash, once: oc-agent completion bash > ~/.local/share/bash-completion/completions/oc-agent
zsh, in .zshrc behind compinit: source <(oc-agent completion zsh)
"""

import argparse
from collections.abc import Iterator

import msgspec

_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
_HEAD = """\
_oc_agent() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= i
    if [[ $cur == = ]]; then cur=; fi
    if [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case $at:${COMP_WORDS[i]} in
"""
_MIDDLE = """\
        esac
    done
    COMPREPLY=()
    case $at:$prev in
"""
_REST = """\
    esac
    case $at in
"""
_TAIL = """\
    esac
}
complete -o default -F _oc_agent oc-agent
"""
_REPLY = 'COMPREPLY=($(compgen -W "{words}" -- "$cur"))'


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One verb of the tree: `path` is "" for the top, else "outbox show". `valued` are options that take a value.

    `flags` are all options, `choices` the values of those that have a closed set; `words` what may stand next:
    verbs, or the choices of a positional argument.
    """

    path: str
    words: list[str]
    verbs: list[str]
    flags: list[str]
    valued: list[str]
    choices: dict[str, list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"))


def main(args: argparse.Namespace) -> int:
    from agent.cli import make_parser  # which loads this module

    nodes = list(tree(make_parser()))
    print(script(nodes) if args.shell == "bash" else _ZSH + script(nodes), end="")
    return 0


def tree(parser: argparse.ArgumentParser, path: str = "") -> Iterator[Node]:
    """Every verb beneath `parser`, itself first."""
    words: list[str] = []
    flags: list[str] = []
    valued: list[str] = []
    choices: dict[str, list[str]] = {}
    beneath: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        flags += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            beneath = dict(action.choices)
        elif not action.option_strings:
            words += map(str, action.choices or ())
        elif action.nargs != 0:
            valued += action.option_strings
            choices |= {flag: list(map(str, action.choices or ())) for flag in action.option_strings}
    yield Node(path=path, words=[*beneath, *words], verbs=list(beneath), flags=flags, valued=valued, choices=choices)
    for name, sub in beneath.items():
        yield from tree(sub, f"{path} {name}".strip())


def script(nodes: list[Node]) -> str:
    """A bash function: it walks to the verb that is being written, then offers what may come next there."""
    return "".join((
        _HEAD,
        *(f"            {line}\n" for node in nodes for line in _steps(node)),
        _MIDDLE,
        *(f"        {line}\n" for node in nodes for line in _values(node)),
        _REST,
        *(f"        {line}\n" for node in nodes for line in _next(node)),
        _TAIL,
    ))  # fmt: skip


def _steps(node: Node) -> Iterator[str]:
    for verb in node.verbs:
        yield f'"{node.path}:{verb}") at="{f"{node.path} {verb}".strip()}" ;;'
    for flag in node.valued:
        yield f'"{node.path}:{flag}") ((i += 1)); if [[ ${{COMP_WORDS[i]}} == = ]]; then ((i += 1)); fi ;;'


def _values(node: Node) -> Iterator[str]:
    """Values of options; where they are no closed set nothing is offered, and the shell completes names of files."""
    for flag in node.valued:
        yield f'"{node.path}:{flag}") {_REPLY.format(words=" ".join(node.choices[flag]))}; return ;;'


def _next(node: Node) -> Iterator[str]:
    yield f'"{node.path}")'
    yield f"    if [[ $cur == -* ]]; then {_REPLY.format(words=' '.join(node.flags))}"
    yield f"    else {_REPLY.format(words=' '.join(node.words))}; fi ;;"
