"""Keeping a backup whatever its age."""

from __future__ import annotations

from vodtender.config.settings import Settings
from vodtender.model.backup import is_name
from vodtender.pipeline.backup_shelf import LocalShelf, S3Shelf, translated
from vodtender.procedures.backup_list import named, no_such, shelves
from vodtender.procedures.change import Change
from vodtender.store import audit
from vodtender.store.database import Database


def keep(
    database: Database,
    settings: Settings,
    name: str,
    *,
    kept: bool,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> list[Change]:
    """Marks a backup so that no retention removes it, or takes that back. Raises NotFound."""
    found = shelves(settings)
    with found.local.locked():
        places: list[tuple[str, LocalShelf | S3Shelf]] = [("local", found.local)]
        if found.s3 is not None:
            places.append(("s3", found.s3))
        changes = []
        for place, shelf in places:
            entry = named(shelf.entries(), name)
            if entry is None or entry.manifest is None:
                continue
            name = entry.name if is_name(entry.name) else name
            before, after = {"kept": entry.manifest.kept}, {"kept": kept}
            change = Change(f"{entry.name} ({place})", before, after)
            if change.changed and not dry_run:
                with translated(found.local.directory):
                    shelf.write_manifest(entry.manifest.keep(kept))
            changes.append(change)
        if not changes:
            raise no_such(name, found)
        if not dry_run and any(change.changed for change in changes):
            with database.transaction(actor=actor) as connection:
                audit.record(
                    connection,
                    actor=actor,
                    action="backup keep",
                    target=name,
                    before={"kept": not kept},
                    after={"kept": kept},
                    reason=reason,
                )
    return changes
