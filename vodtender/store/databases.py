"""Whole databases of a server: scratch ones, and the swap that puts one in another's place.

Everything here is for a connection of an administrator, past any pooler, in autocommit mode and
to another database than those that are changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from vodtender.errors import Locked, Refused
from vodtender.store.database import Connection

_LONGEST_NAME = 63
_SCRATCH = "_vodtender_scratch"
_SWAP_TRIES = 5


def role_in(dsn: str) -> str:
    """As whom a connection string leads in."""
    default = next((one.val for one in Conninfo.get_defaults() if one.keyword == b"user"), None)
    return str(conninfo_to_dict(dsn).get("user") or (default or b"").decode())


def name_in(dsn: str) -> str:
    """The database that a connection string leads to: where it names none, that of its role."""
    return str(conninfo_to_dict(dsn).get("dbname") or role_in(dsn))


def with_name(dsn: str, name: str) -> str:
    """The same connection string for another database of that server."""
    return make_conninfo(dsn, dbname=name)


def scratch_name(name: str) -> str:
    """What a database that is being restored is called; whatever has that name is worthless to
    all but the restore that is at it."""
    return name[: _LONGEST_NAME - len(_SCRATCH)] + _SCRATCH


def aside_name(admin: Connection, name: str, at: datetime) -> str:
    """A name that is free, for the database that another takes the place of."""
    while True:
        suffix = f"_before_{at:%Y%m%d_%H%M%S}"
        found = name[: _LONGEST_NAME - len(suffix)] + suffix
        if not exists(admin, found):
            return found
        at += timedelta(seconds=1)


def exists(admin: Connection, name: str) -> bool:
    """Whether the server has a database of that name."""
    found = admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
    return found is not None


def lock(admin: Connection, name: str) -> None:
    """One restore of a database at a time, for as long as the connection lives. Raises Locked."""
    row = admin.execute(
        "SELECT pg_try_advisory_lock(hashtext('vodtender restore'), hashtext(%s)) AS got", (name,)
    ).fetchone()
    if row is None or not row["got"]:
        raise Locked(
            f"Another restore, or a drill, of the database {name} is under way.",
            hint="wait for it; who is connected: vodtender db connections",
            code="restore_running",
        )


def require_rights(admin: Connection, owner: str) -> None:
    """Raises Refused (`no_privilege`), naming what the role may not do."""
    row = admin.execute(
        """
        SELECT rolname AS role, rolsuper AS super, rolcreatedb AS creates,
            EXISTS (SELECT FROM pg_roles o WHERE o.rolname = %(owner)s
                AND pg_has_role(r.oid, o.oid, 'MEMBER')) AS owns
        FROM pg_roles r WHERE rolname = current_user
        """,
        {"owner": owner},
    ).fetchone()
    assert row is not None
    if row["super"] or (row["creates"] and row["owns"]):
        return
    missing = f"it is no member of {owner}" if row["creates"] else "it lacks CREATEDB"
    raise Refused(
        f"The role {row['role']} may not make a database to restore into: {missing}.",
        hint="set DB_ADMIN_DSN to a role that may, such as the server's postgres\n"
        f'or, as that one: ALTER ROLE "{row["role"]}" CREATEDB',
        code="no_privilege",
    )


def sessions(admin: Connection, name: str) -> list[str]:
    """Who of vodtender is connected to a database, and whence, but for ourselves and backups."""
    rows = admin.execute(
        "SELECT DISTINCT coalesce(host(client_addr), 'this machine') AS whence"
        " FROM pg_stat_activity WHERE datname = %s AND application_name = 'vodtender'"
        " AND pid <> pg_backend_pid()",
        (name,),
    ).fetchall()
    return [row["whence"] for row in rows]


def create(admin: Connection, name: str, *, owner: str, like: str) -> None:
    """An empty one, with the encoding and order of another, if that exists."""
    row = admin.execute(
        "SELECT pg_encoding_to_char(encoding) AS encoding, datcollate, datctype"
        " FROM pg_database WHERE datname = %s AND datlocprovider = 'c'",
        (like,),
    ).fetchone()
    options: sql.Composable = sql.SQL("")
    if row is not None:
        options = sql.SQL(" ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
            *map(sql.Literal, (row["encoding"], row["datcollate"], row["datctype"]))
        )
    admin.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0{}").format(
            sql.Identifier(name), sql.Identifier(owner), options
        )
    )


def drop(admin: Connection, name: str) -> None:
    """Removes a database with all that is in it, whoever is connected; nothing if there is none."""
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def copy_settings(admin: Connection, name: str, to: str) -> None:
    """What ALTER DATABASE has set for one, and who may connect, for another as well."""
    for row in admin.execute(
        "SELECT r.rolname, c.entry FROM pg_db_role_setting s JOIN pg_database d"
        " ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole,"
        " unnest(s.setconfig) AS c (entry) WHERE d.datname = %s",
        (name,),
    ).fetchall():
        setting, _, value = row["entry"].partition("=")
        target: sql.Composed = sql.SQL("DATABASE {}").format(sql.Identifier(to))
        if row["rolname"] is not None:
            target = sql.SQL("ROLE {} IN DATABASE {}").format(
                sql.Identifier(row["rolname"]), sql.Identifier(to)
            )
        admin.execute(
            sql.SQL("ALTER {} SET {} TO {}").format(
                target, sql.Identifier(setting), sql.Literal(value)
            )
        )
    _copy_grants(admin, name, to)


def _copy_grants(admin: Connection, name: str, to: str) -> None:
    rows = admin.execute(
        "SELECT r.rolname, a.privilege_type FROM pg_database d, aclexplode(d.datacl) AS a"
        " LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE d.datname = %s",
        (name,),
    ).fetchall()
    if not rows:
        return
    target = sql.Identifier(to)
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(target))
    for row in rows:
        role = row["rolname"]
        who = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
        privilege = sql.SQL(row["privilege_type"])
        admin.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(privilege, target, who))


def swap(
    admin: Connection,
    name: str,
    scratch: str,
    aside: str | None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """`scratch` becomes `name`, and what had that name becomes `aside` (None: there is none), in
    one transaction: whatever happens, `name` is one of the two, whole.

    Raises:
        Refused: somebody stays connected whom we may not end (code `in_use`).
    """
    renames = [(scratch, name)] if aside is None else [(name, aside), (scratch, name)]
    for number in range(_SWAP_TRIES):
        for old, _ in renames:
            _end_sessions(admin, old)
        try:
            with admin.transaction():
                for old, new in renames:
                    admin.execute(
                        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                            sql.Identifier(old), sql.Identifier(new)
                        )
                    )
            return
        except pg.ObjectInUse as error:
            if number == _SWAP_TRIES - 1:
                raise Refused(
                    f"Somebody stays connected to the database {name}, so it was not replaced.",
                    hint="who: vodtender db connections; stop them, then restore again",
                    code="in_use",
                ) from error
            pause(0.2)


def _end_sessions(admin: Connection, name: str) -> None:
    try:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )
    except pg.InsufficientPrivilege:
        return  # a superuser's; if it stays, the renaming says so
