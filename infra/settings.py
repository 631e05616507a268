"""The settings of the control device: one TOML file, checked as a whole before anything starts.

    [store]
    path = "/var/lib/understudy/events.db"

    [listen]                      # either host and port, or socket
    host = "127.0.0.1"
    port = 8740
    # socket = "/run/understudy/api.sock"
    # hosts = ["understudy.example"]      names that a proxy in front may use

    [keys]                        # may be left out
    directory = "keys"            # where the private keys for gateways are; clusters name them

    [tokens]                      # name of the token (the events' actor) = SHA-256 of the token, in hexadecimal
    ann = "…64 digits…"

    [workers]                     # all may be left out
    poll_seconds = 0.02

Every refusal names the file, the table, the key, what is wrong and what to do. Unknown tables and keys are refused: a
misspelt key that is silently ignored is found out on the worst day.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from domain.errors import InvalidInput
from domain.values.names import check_name

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Listen:
    """Where the API answers: a loopback address, or a Unix socket (then ``host`` and ``port`` mean nothing)."""

    host: str = "127.0.0.1"
    port: int = 8740
    socket: Path | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerSettings:
    """How patiently the workers work, in seconds, and how much they work at.

    ``poll_seconds``: between two looks at a gateway where something is going on, growing up to
    ``longest_poll_seconds`` while nothing is. ``retry_seconds``: after a gateway could not be reached, doubling up to
    ``longest_retry_seconds``. ``stall_seconds``: a copy that has moved neither a byte nor a file for so long is noted.
    ``copies_per_run``: how many data sets of one run are copied at once. ``sweep_seconds``: between two sweeps of the
    gateways' spools. ``spool_margin_seconds``: how long after its ``not_after`` an instruction is kept, which must
    exceed what clocks may differ by. ``runs_per_service`` and ``runs_per_gateway``: so many runs may be planned and not
    over; each may have an agent that waits for its moment.
    """

    poll_seconds: float = 0.02
    longest_poll_seconds: float = 2.0
    retry_seconds: float = 1.0
    longest_retry_seconds: float = 60.0
    stall_seconds: float = 120.0
    copies_per_run: int = 8
    sweep_seconds: float = 600.0
    spool_margin_seconds: float = 300.0
    runs_per_service: int = 16
    runs_per_gateway: int = 256


@dataclass(frozen=True)
class Settings:
    """Everything that the control device is told when it starts."""

    store_path: Path
    listen: Listen
    tokens: Mapping[str, str]
    workers: WorkerSettings = field(default_factory=WorkerSettings)
    keys: Path = Path("keys")


class SettingsError(InvalidInput):
    """The file cannot be used as it is; code SETTINGS_INVALID."""


def load_settings(path: Path) -> Settings:
    """Read and check the file; raise ``SettingsError``. Relative paths in it are relative to the file's directory."""
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"it cannot be read: {error.strerror}."
        raise _error(path, "", what, "Name the settings file of the control device.") from None
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _error(path, "", f"it is not TOML: {error}.", "Correct that place.") from None
    return _Reader(path, document).settings()


def _error(path: Path, place: str, what: str, remedy: str) -> SettingsError:
    return SettingsError(f"{path}: {place}" if place else str(path), what, remedy=remedy, code="SETTINGS_INVALID")


class _Reader:
    """Takes tables and keys out of the document, so that what is left over is unknown."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path = path
        self._document = document

    def settings(self) -> Settings:
        known = ("store", "listen", "keys", "tokens", "workers")
        for name in self._document:
            if name not in known:
                self._refuse(f"[{name}]", "there is no such table.", f"Known are {_listed(known)}.")
        return Settings(self._store(), self._listen(), self._tokens(), self._workers(), self._keys())

    def _store(self) -> Path:
        table = self._table("store", ("path",))
        if "path" not in table:
            self._refuse("[store] path", "it is missing.", "Say where the event store lies: path = '/…/events.db'.")
        return self._file("store", "path", table["path"])

    def _listen(self) -> Listen:
        table = self._table("listen", ("host", "port", "socket", "hosts"))
        hosts = table.get("hosts", [])
        if not isinstance(hosts, list) or not all(isinstance(host, str) and host for host in hosts):
            self._refuse("[listen] hosts", "it is not a list of names.", "Write hosts = ['understudy.example'].")
        if "socket" in table:
            if "host" in table or "port" in table:
                self._refuse("[listen] socket", "host or port is given, too.", "Give a socket, or host and port.")
            return Listen(socket=self._file("listen", "socket", table["socket"]), hosts=tuple(hosts))
        host, port = table.get("host", Listen.host), table.get("port", Listen.port)
        if host not in LOOPBACK:
            self._refuse(
                "[listen] host",
                f"{host!r} is no loopback address.",
                "Use 127.0.0.1, ::1 or a socket, and a proxy with TLS in front for other hosts.",
            )
        if type(port) is not int or not 0 <= port <= 65_535:
            self._refuse("[listen] port", f"{port!r} is no port.", "Give a number from 1 to 65535, or 0 for any.")
        return Listen(host, port, hosts=tuple(hosts))

    def _keys(self) -> Path:
        table = self._table("keys", ("directory",), required=False)
        return self._file("keys", "directory", table.get("directory", "keys"))

    def _tokens(self) -> Mapping[str, str]:
        table = self._document.get("tokens", {})
        if not isinstance(table, dict) or not table:
            self._refuse("[tokens]", "there is none.", "Make one with 'understudy token NAME' and add its line here.")
        for name, digest in table.items():
            try:
                check_name("name", name)
            except InvalidInput as error:
                self._refuse(f"[tokens] {name}", "it cannot be a token's name.", error.remedy)
            if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
                self._refuse(
                    f"[tokens] {name}",
                    "it is not a SHA-256 in hexadecimal.",
                    "Put the hash of the token here, never the token itself.",
                )
        return {name: digest.lower() for name, digest in table.items()}

    def _workers(self) -> WorkerSettings:
        names = {item.name: item.default for item in fields(WorkerSettings)}
        table = self._table("workers", tuple(names), required=False)
        for name, value in table.items():
            whole = isinstance(names[name], int)
            if type(value) not in ((int,) if whole else (int, float)) or not 0 < value <= 1_000_000:
                kind = "whole number" if whole else "number"
                self._refuse(f"[workers] {name}", f"{value!r} cannot be used.", f"Give a positive {kind}.")
        settings = WorkerSettings(**table)
        for short, long in (("poll_seconds", "longest_poll_seconds"), ("retry_seconds", "longest_retry_seconds")):
            if getattr(settings, short) > getattr(settings, long):
                self._refuse(f"[workers] {long}", f"it is less than {short}.", f"Raise it, or lower {short}.")
        return settings

    def _table(self, name: str, keys: tuple[str, ...], *, required: bool = True) -> dict[str, Any]:
        if name not in self._document and required:
            self._refuse(f"[{name}]", "it is missing.", f"Add the table; its keys are {_listed(keys)}.")
        table = self._document.get(name, {})
        if not isinstance(table, dict):
            self._refuse(f"[{name}]", "it is not a table.", f"Write [{name}] on a line of its own, its keys below.")
        for key in table:
            if key not in keys:
                self._refuse(f"[{name}] {key}", "there is no such key.", f"Known are {_listed(keys)}.")
        return table

    def _file(self, table: str, key: str, value: Any) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            self._refuse(f"[{table}] {key}", f"{value!r} is no path.", "Give a path in quotes.")
        return self._path.resolve().parent / value

    def _refuse(self, place: str, what: str, remedy: str) -> NoReturn:
        raise _error(self._path, place, what, remedy)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
