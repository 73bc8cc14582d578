"""The command tree.

Each command lives in `vodtender/cli/<noun>.py`, which has a `typer.Typer` named `app`: with one
command it is that command, with several a group. It is imported when it is called, so that one
command does not pay for the others; that is why their one-line helps stand here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from vodtender import __version__
from vodtender.cli.context import Context
from vodtender.cli.failures import guarded

COMMANDS: dict[str, str] = {
    "run": "Keep the archive alive: find, download and upload VODs.",
    "status": "Show on one screen what is going on and what to do next.",
    "vods": "List VODs, or show one with its history.",
    "add": "Add VODs by number or address.",
    "retry": "Try failed or held VODs again now.",
    "reprocess": "Send VODs the whole way again, done ones too.",
    "skip": "Leave VODs alone for good.",
    "cancel": "End what is being done to VODs, and skip them.",
    "priority": "Let VODs go before others, or after them.",
    "resolve": "Settle an upload of which nobody knows whether it took effect.",
    "breaker": "Show, reset or trip the circuit breakers.",
    "pause": "Begin nothing new until resume.",
    "resume": "Go on after pause.",
    "drain": "Let running daemons finish what they have in hand.",
    "prune": "Remove local files that YouTube has processed.",
    "archive": "Move old VOD files to cheaper storage, and have them back.",
    "chat": "Record chat, see how that stands, and export it.",
    "backup": "Dump the database, and look after the dumps.",
    "restore": "Restore the database from a backup, or prove that it could be.",
    "auth": "Log in to YouTube and Twitch, and see who is.",
    "vacuum": "Clear dead rows out of the tables, or build indexes anew.",
    "db": "Look at the database server, and put it right.",
    "export": "Print files for other programs.",
    "config": "Check, show and explain the settings.",
    "migrate": "Bring the database to the current schema.",
    "audit": "Show who changed what, when and why.",
}
"""By name, in the order of `--help`. The module has the name with underscores."""


def run(arguments: list[str]) -> int:
    """Runs the command line; returns the exit status."""
    return guarded(lambda: _invoke(list(arguments)), arguments)


def _invoke(arguments: list[str]) -> Any:
    """Not by `main()`: that one has ideas of its own about Ctrl-C and closed pipes."""
    tree = command()
    with tree.make_context("vodtender", arguments) as ctx:
        return tree.invoke(ctx)


def command() -> Any:
    """The whole tree, as click knows it."""
    tree = typer.main.get_command(app)
    _lighten(tree)
    return tree


def _lighten(command: Any) -> None:
    """Lets options that are not given pass as they are: to look at a mere default, typer would
    load pydantic, which takes longer than all the rest of it."""
    for parameter in command.params:
        single = parameter.nargs == 1 and not getattr(parameter, "multiple", False)
        optional = not parameter.required and (single or parameter.default is None)
        if optional and parameter.callback is None:
            parameter.process_value = _passing(parameter.process_value, parameter.default)
    command.get_help_option = _not_none(command.get_help_option)
    for below in getattr(command, "commands", {}).values():
        if below is not None:
            _lighten(below)


def _passing(process: Callable[[Any, Any], Any], default: Any) -> Callable[[Any, Any], Any]:
    return lambda ctx, value: value if value is None or value is default else process(ctx, value)


def _not_none(get_help_option: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def option(ctx: Any) -> Any:
        found = get_help_option(ctx)
        if found is not None:
            found.default = False
        return found

    return option


class _Lazy(TyperGroup):
    """Knows its commands' names and helps without importing them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.commands = cast("Any", dict.fromkeys(COMMANDS))  # what "did you mean" looks at

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"vodtender.cli.{cmd_name.replace('-', '_')}")
        # Every module's app would offer typer's own completion; ours is in completions/.
        module.app._add_completion = False
        found = typer.main.get_command(module.app)
        found.name = cmd_name
        # Typer would have each command bring its own shell completion.
        found.params = [p for p in found.params if not (p.name or "").endswith("_completion")]
        _lighten(found)
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="vodtender",
    help="Carries a Twitch channel's past broadcasts to YouTube before they vanish.",
    cls=_Lazy,
    no_args_is_help=True,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vodtender {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    config_path: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file; else VODTENDER_CONFIG or ./vodtender.yaml."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    ctx.obj = Context(config_path, debug)
