"""Floor 5: the command line. Each command imports what it needs when it runs, so that ``--help`` is instant."""

import click

from meshline_dagster import __version__

__all__ = ["main"]

_COMMANDS = {
    "audit": "meshline_dagster.cli.audit:audit",
    "compact": "meshline_dagster.cli.landing:compact",
    "demo": "meshline_dagster.cli.demo:demo",
    "exceptions": "meshline_dagster.cli.exceptions:exceptions",
    "map": "meshline_dagster.cli.mappings:map_value",
    "sandbox": "meshline_dagster.cli.sandbox:sandbox",
    "status": "meshline_dagster.cli.status:status",
    "unmap": "meshline_dagster.cli.mappings:unmap_value",
    "up": "meshline_dagster.cli.up:up",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - fixed by click
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - fixed by click
        from importlib import import_module  # noqa: PLC0415 - keeps start-up instant

        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="meshline")
def main() -> None:
    """Operate Meshline: what is posted, what waits, and what to do about it."""
