"""``meshline contracts``: what an event is, by type and version: generate, compare, release; check events, lift older ones."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from meshline_dagster.core.events.event import Event

__all__ = ["app"]

app = typer.Typer(
    help="The contracts of events: generate, compare, release; check events by them.", no_args_is_help=True
)

File = Annotated[str, typer.Argument(help="JSON: one event, a list, or one a line; - is what comes in.")]


@app.command("generate")
def generate(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 when a file is out of step.")
    ] = False,
) -> None:
    """Write everything that follows from the models of events: schemas, table contracts, test vectors, the page.

    In a clone of the repository, after a model in meshline_dagster/core/events/types has changed.
    """
    from meshline_dagster.contracts.files import GENERATE, out_of_step, source_root, write

    root = source_root()
    found = out_of_step(root) if check else write(root)
    for path, how in found.items():
        typer.echo(f"{how if check else 'removed' if how == 'obsolete' else 'written'}: {path}")
    if not found:
        typer.echo("every generated file is in step with the models")
    elif check:
        typer.secho(f"{len(found)} out of step; `{GENERATE}` writes them", err=True, fg=typer.colors.RED)
        raise typer.Exit(1)


@app.command("diff")
def diff(
    old: Annotated[str, typer.Argument(help="A JSON Schema's file, TYPE@VERSION, or TYPE for the newest.")],
    new: Annotated[str, typer.Argument(help="The same of what is to follow it.")],
) -> None:
    """Say whether NEW is compatible with OLD or breaking, and why, field by field, e.g. `meshline contracts diff order.created@1.0.0 order.created`.

    Exit code 1: it changes more than its version allows.
    """
    from meshline_dagster.contracts.releases import find_schema
    from meshline_dagster.core.events.compatibility import changes, level_of, refusal
    from meshline_dagster.core.events.versions import Level

    (old_name, before), (new_name, after) = find_schema(old), find_schema(new)
    found = changes(before, after)
    for one in found:
        typer.echo(f"{'breaking' if one.level is Level.MAJOR else one.level.name.lower()}\t{one}")
    level = level_of(found)
    verdict = "breaking" if level is Level.MAJOR else "compatible"
    needs = {Level.NONE: "nothing differs", Level.PATCH: "words alone"}.get(
        level, f"needs a {level.name.lower()} version"
    )
    typer.echo(f"{new_name} against {old_name}: {verdict}, {needs}")
    why = refusal(before, after)
    if why is not None:
        typer.secho(
            f"{why.partition(':')[0]}: give it the next {level.name.lower()} version", err=True, fg=typer.colors.RED
        )
        raise typer.Exit(1)


@app.command("release")
def release(event_type: Annotated[str, typer.Argument(metavar="TYPE", help="E.g. order.created.")]) -> None:
    """Keep the newest version of TYPE as released: from now on its model may not change but in words."""
    from meshline_dagster.contracts.files import source_root
    from meshline_dagster.contracts.releases import release as keep

    source_root()
    typer.echo(f"released: {keep(event_type)}; commit it")


@app.command("validate")
def validate(file: File) -> None:
    """Check events: what is wrong with each, and which repeat one that stands before it. Exit code 1 when one is wrong."""
    from meshline_dagster.contracts.event_files import documents
    from meshline_dagster.core.errors import ContractError
    from meshline_dagster.core.events.reading import read_event
    from meshline_dagster.core.events.repeats import Repeat, repeat_of

    seen: dict[str, tuple[str, Event]] = {}
    counts = dict.fromkeys(["wrong", *Repeat], 0)
    for place, document in documents(_text(file)):
        try:
            event = read_event(document)
        except ContractError as error:
            counts["wrong"] += 1
            typer.secho(f"{place}: {error}", err=True, fg=typer.colors.RED)
            continue
        before, first = seen.setdefault(event.id, (place, event))
        repeat = Repeat.NEW if first is event else repeat_of(event, first)
        counts[repeat] += 1
        if repeat is not Repeat.NEW:
            typer.secho(f"{place}: {repeat.value} of {before}: {_ADVICE[repeat]}", err=True, fg="yellow")
    typer.echo(", ".join(f"{count} {name}" for name, count in counts.items()))
    if counts["wrong"] or counts[Repeat.CONFLICT]:
        raise typer.Exit(1)


_ADVICE = {
    "duplicate": "the same event, nothing to do",
    "restated": "the same id with other content; act on the first alone, and have somebody look at the difference",
    "conflict": "an id that cannot be that of both; ask whoever makes these events",
}


@app.command("upcast")
def upcast(file: File) -> None:
    """Lift events that somebody kept to the newest version of their types: one JSON object a line."""
    from meshline_dagster.contracts.event_files import documents
    from meshline_dagster.core.errors import ContractError
    from meshline_dagster.core.events.upcasting import upcast as lift

    for place, document in documents(_text(file)):
        try:
            typer.echo(lift(document).model_dump_json())
        except ContractError as error:
            raise ContractError(f"{place}: {error}") from error


def _text(file: str) -> str:
    from meshline_dagster.core.errors import ConfigError

    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}): name a file of JSON events in UTF-8") from error
