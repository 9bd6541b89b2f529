"""What is landed now, for a build: every live file by landing view, and which of them are new to the build."""

from collections.abc import Iterable

from sqlalchemy import Connection

from meshline_dagster.core.documents import DocumentKind
from meshline_dagster.landing.zone import LandingZone
from meshline_dagster.orchestration.connect import FeedSpec
from meshline_dagster.store.builds import Build
from meshline_dagster.store.manifest import live_files, new_files
from meshline_dagster.store.mappings import active_mappings, changed_values
from meshline_dagster.warehouse.records import BuildMode, BuildSpec, MappingEntry, Policy, SourceFile, SourceFiles

__all__ = ["ERP_VIEWS", "build_spec", "source_files"]

ERP_VIEWS = {
    DocumentKind.SALES_ORDER: "erp__sales_order",
    DocumentKind.INVOICE: "erp__invoice",
    DocumentKind.CREDIT_NOTE: "erp__credit_note",
}
"""The landing view of each kind that is read back."""


def source_files(
    connection: Connection, zone: LandingZone, feeds: Iterable[FeedSpec], destination: str, *, after: int
) -> SourceFiles:
    """Live files of every feed that a model reads, and of the read-back.

    Args:
        after: files with a higher number are new. A new file that has been compacted away since is listed beside the compacted one.
    """
    views: dict[str, list[SourceFile]] = {}
    named = [(spec.view, spec.name, spec.instance) for spec in feeds if spec.view is not None]
    named += [(view, f"{destination}/{kind.value}", destination) for kind, view in ERP_VIEWS.items()]
    for view, feed, instance in named:
        live = live_files(connection, feed)
        listed = {file.seq for file in live}
        replaced = [file for file in new_files(connection, feed, after, 2**62) if file.seq not in listed]
        views.setdefault(view, []).extend(
            SourceFile(instance, zone.absolute(file.path), file.seq > after and file.kind == "data")
            for file in [*live, *replaced]
        )
    return SourceFiles(views)


def build_spec(
    connection: Connection,
    zone: LandingZone,
    build: Build,
    *,
    feeds: Iterable[FeedSpec],
    destination: str,
    policy: Policy,
) -> BuildSpec:
    """Everything that a build is given, read in the transaction that opened it."""
    replay = None
    if build.mode == BuildMode.REPLAY and build.replay_from and build.replay_to:
        replay = (build.replay_from, build.replay_to)
    return BuildSpec(
        build_id=build.id,
        as_of=build.as_of,
        mode=BuildMode(build.mode),
        files=source_files(connection, zone, feeds, destination, after=build.landing_from),
        policy=policy,
        mappings=[
            MappingEntry(one.kind, one.source_value, one.target_value, one.seq) for one in active_mappings(connection)
        ],
        changed_mappings=changed_values(connection, build.mapping_from, build.mapping_to),
        replay=replay,
        after=build.after,
    )
