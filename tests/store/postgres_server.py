"""A PostgreSQL server of one's own on loopback, from the programs that are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class NotHereError(Exception):
    """There is no PostgreSQL to start, and why."""


@contextmanager
def server() -> Iterator[str]:
    """The address of a new server, which is stopped at the end: `postgresql://fairlead@127.0.0.1:<a free port>`.

    Raises NotHereError where PostgreSQL or psycopg is not installed.
    """
    programs = _programs()
    try:
        import psycopg
    except ImportError as error:
        raise NotHereError(f"psycopg is not installed: {error}") from error
    whom = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="fairlead-pg-"))
    try:
        if whom:
            os.chown(folder, whom["user"], whom["group"])
        made = [programs / "initdb", "-D", folder / "data", "-U", "fairlead", "--auth=trust", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(made, cwd=folder, capture_output=True, text=True, check=False, **whom)
        if done.returncode != 0:
            raise RuntimeError(f"initdb: {done.stderr}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        options |= {"full_page_writes": "off", "shared_buffers": "32MB", "autovacuum": "off"}
        flags = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *flags], cwd=folder, stdout=log, stderr=log, **whom
            )
            try:
                address = f"postgresql://fairlead@127.0.0.1:{port}"
                deadline = time.monotonic() + 60
                while True:
                    try:
                        psycopg.connect(f"{address}/postgres").close()
                        break
                    except psycopg.OperationalError:
                        if process.poll() is not None or time.monotonic() > deadline:
                            raise RuntimeError((folder / "log").read_text()) from None
                        time.sleep(0.05)
                yield address
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
                process.wait(timeout=60)
    finally:
        shutil.rmtree(folder)


def new_database(address: str, name: str) -> str:
    """The address of a new, empty database of the server."""
    import psycopg

    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{address}/{name}"


def new_schema(address: str, name: str) -> str:
    """The address of a new, empty schema, which takes less time than a database."""
    import psycopg

    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{address}/postgres?options=-csearch_path%3D{name}"


def _programs() -> Path:
    """The folder of the server's programs: the newest of Debian's, else that on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    on_path = shutil.which("initdb")
    where = found[-1] if found else Path(on_path) if on_path else None
    if where is None or not (where.parent / "postgres").exists():
        raise NotHereError("PostgreSQL is not installed")
    return where.parent


def _unprivileged() -> dict[str, Any]:
    """How to run what refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NotHereError("PostgreSQL does not run as root, and there is no user postgres or nobody")
