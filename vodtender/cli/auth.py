"""`vodtender auth`: who vodtender is at YouTube and Twitch."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vodtender.cli.auth_login import Manner, import_cookies, import_login, log_in, now, read
from vodtender.cli.changes import write_changes
from vodtender.cli.context import AsJson, Context, DryRun, NothingAsked, Reason, Yes
from vodtender.cli.output import note, write_json
from vodtender.errors import Exit

app = typer.Typer(
    help="Log in to YouTube and Twitch, and see who is.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class ServiceName(StrEnum):
    """Where one can log in."""

    youtube = "youtube"
    twitch = "twitch"


class Importable(StrEnum):
    """What can be imported."""

    youtube = "youtube"
    twitch = "twitch"
    cookies = "cookies"


def _account(text: str) -> str:
    from vodtender.config.service_forms import ACCOUNT

    try:
        return ACCOUNT.read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Account = Annotated[
    str,
    typer.Option(parser=_account, metavar="NAME", help="Which, if there are several accounts."),
]
SomeAccount = Annotated[
    str | None,
    typer.Option(parser=_account, metavar="NAME", help="Only this account."),
]


@app.command()
def login(
    ctx: typer.Context,
    service: ServiceName,
    *,
    account: Account = "default",
    device: Annotated[
        bool, typer.Option("--device", help="By a code to be entered in a browser anywhere.")
    ] = False,
    client: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="JSON with client_id and client_secret of the account's own application, "
            "and so of its own quota; else the one of the settings.",
        ),
    ] = None,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Ask for the permission to use an account.

    In a browser on this machine, or with --device by a code. What waited for a login goes on.
    """
    from vodtender.model.tokens import parse_client
    from vodtender.pipeline.oauth_services import SERVICES

    own = parse_client(read(client)[0]) if client is not None else None
    manner = Manner(yes, reason, dry_run, as_json)
    log_in(ctx.obj, SERVICES[service], account, manner, device=device, own=own)


@app.command("import")
def import_(
    ctx: typer.Context,
    what: Importable,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file; - is standard input.")],
    *,
    account: Annotated[
        str | None,
        typer.Option(parser=_account, metavar="NAME", help="Which, if there are several accounts."),
    ] = None,
    vod: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The VOD to try cookies on; else one that is known."),
    ] = None,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over a login or cookies from a file.

    youtube, twitch: JSON with a refresh_token, perhaps with client_id and client_secret (also
    Google's authorized_user file); it is renewed once to prove it. cookies: a cookies.txt; it
    is tried on one VOD and installed at YTDLP_COOKIES_PATH; the next download has it.
    """
    from vodtender.pipeline.oauth_services import SERVICES

    text, written_at = read(file)
    manner = Manner(yes, reason, dry_run, as_json)
    if what is Importable.cookies:
        if account is not None:
            raise typer.BadParameter("cookies belong to no account", param_hint="--account")
        import_cookies(ctx.obj, manner, text, written_at, vod)
        return
    if vod is not None:
        raise typer.BadParameter("only cookies are tried on a VOD", param_hint="--vod")
    import_login(ctx.obj, SERVICES[what], account or "default", manner, text)


@app.command()
def status(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """Show who is logged in, and what is wrong.

    Whose logins, what they may do and until when, the age of the cookies, encryption. No
    service is asked. Exits with 4 if something needs a person.
    """
    from vodtender.procedures import login_status

    context: Context = ctx.obj
    with context.database() as database:
        found = login_status.overview(database, context.settings(), now())
    if as_json:
        from dataclasses import asdict

        write_json({"ok": not found.needs_person, **asdict(found)})
    else:
        from vodtender.cli.auth_status import write_status

        write_status(found, now())
    return Exit.CREDENTIALS if found.needs_person else Exit.DONE


@app.command()
def refresh(
    ctx: typer.Context,
    service: Annotated[ServiceName | None, typer.Argument(help="Both, if none is given.")] = None,
    *,
    account: SomeAccount = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    _yes: NothingAsked = False,
    as_json: AsJson = False,
) -> None:
    """Renew the access tokens now, those that were refused too.

    The daemon renews them before they end; this is for after a mended problem.
    """
    from vodtender.cli.consent import Terminal
    from vodtender.errors import PartlyDone
    from vodtender.procedures import logins
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    with context.database() as database:
        done = logins.refresh(
            database,
            context.settings(),
            Terminal(""),
            now,
            provider=service,
            account=account,
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
    if done.changes:
        write_changes(done.changes, dry_run=dry_run, as_json=as_json)
    if not done.failures:
        return
    first = next(iter(done.failures.values()))
    if len(done.failures) == 1 and not done.changes:
        raise first
    lines = [f"{name}: {error.message}" for name, error in done.failures.items()]
    failure = PartlyDone("\n".join(lines), hint=first.hint)
    if not done.changes:
        failure.exit = first.exit
    raise failure


@app.command()
def logout(
    ctx: typer.Context,
    service: ServiceName,
    *,
    account: Account = "default",
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give a permission back and forget it. Uploads to the account wait for the next login."""
    from vodtender.cli.confirm import confirm
    from vodtender.errors import PartlyDone
    from vodtender.pipeline.oauth_services import SERVICES
    from vodtender.procedures import login as login_procedure
    from vodtender.procedures import logins
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    chosen = SERVICES[service]
    with context.database() as database:
        row = login_procedure.stored(database, chosen, account)
        if row is not None and not dry_run:
            who = row.owner_name or account
            confirm(f"Log {who} out of {chosen.name} (account {account})?", yes=yes)
        done = logins.logout(
            database,
            context.settings(),
            chosen,
            account,
            now=now(),
            actor=operator(),
            reason=reason,
            dry_run=dry_run,
        )
    write_changes([done.change], dry_run=dry_run, as_json=as_json)
    if done.untold is not None:
        raise PartlyDone(
            f"The login is forgotten here, but {chosen.name} could not be told: "
            f"{done.untold.message}",
            hint=done.untold.hint,
        )


@app.command()
def rekey(
    ctx: typer.Context,
    *,
    yes: Yes = False,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Store all logins under another ENCRYPTION_KEY.

    Upload sessions that are under way, too. To change the key, set ENCRYPTION_KEY to the new
    one and OLD_ENCRYPTION_KEY to the old one, restart the daemons, type this, and unset
    OLD_ENCRYPTION_KEY. To store them readable again, set OLD_ENCRYPTION_KEY only. All are
    changed at once or none.
    """
    from vodtender.cli.confirm import confirm
    from vodtender.procedures import rekey as procedure
    from vodtender.procedures.actor import operator

    context: Context = ctx.obj
    settings = context.settings()
    with context.database() as database:
        if settings.encryption_key is None and not dry_run:
            rehearsed = procedure.rekey(
                database, settings, actor=operator(), reason=reason, dry_run=True
            )
            if any(change.changed for change in rehearsed.changes):
                confirm(
                    "ENCRYPTION_KEY is not set. Store all logins readable for everybody who "
                    "reads the database?",
                    yes=yes,
                )
        done = procedure.rekey(database, settings, actor=operator(), reason=reason, dry_run=dry_run)
    write_changes(done.changes, dry_run=dry_run, as_json=as_json)
    if not done.changes:
        note("nothing is stored that could be encrypted")
    elif done.workers and not dry_run:
        listed = ", ".join(done.workers)
        note(f"daemons that were started before the key changed must be restarted: {listed}")
