"""Where the API is and with which token: options, then the environment, then a small file, then loopback.

The file is ``~/.config/understudy/client.toml`` (or what ``UNDERSTUDY_CLIENT_CONFIG`` names) with any of ``url``,
``socket`` and ``token_file``. A token is never an option: other users of the machine could read it in the process list.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from api.cli.remote.errors import usage
from api.private_files import found_fault

DEFAULT_URL = "http://127.0.0.1:8740"
_KEYS = ("url", "socket", "token_file")


@dataclass(frozen=True)
class Connection:
    """``socket`` is a path, or empty for TCP to ``url``."""

    url: str
    socket: str
    token: str

    @property
    def where(self) -> str:
        """What a person recognises."""
        return self.socket or self.url


@dataclass(frozen=True)
class Options:
    """What was given on the command line."""

    url: str | None = None
    socket: str | None = None
    token_file: str | None = None
    insecure: bool = False


def connection(options: Options, environment: Mapping[str, str]) -> Connection:
    """Return where to connect; raise ``CommandFailed`` (usage) for what cannot be used."""
    file = _client_file(environment)
    url, socket = _address(options, environment, file)
    if not socket and not (options.insecure or environment.get("UNDERSTUDY_INSECURE") == "1"):
        _refuse_insecure(url)
    return Connection(url, socket, _token(options, environment, file))


def _address(options: Options, environment: Mapping[str, str], file: Mapping[str, str]) -> tuple[str, str]:
    for source, url, socket in (
        ("the options", options.url, options.socket),
        ("the environment", environment.get("UNDERSTUDY_URL"), environment.get("UNDERSTUDY_SOCKET")),
        ("the client file", file.get("url"), file.get("socket")),
    ):
        if url and socket:
            raise usage("TWO_ADDRESSES", f"{source} give a URL and a socket.", "Give one of them.")
        if socket:
            return "http://localhost", socket
        if url:
            return _checked(url), ""
    return DEFAULT_URL, ""


def _refuse_insecure(url: str) -> None:
    """Without TLS the token goes through the network as it is, and whoever has read it once can use it for ever."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_this_host(parts.hostname or ""):
        raise usage(
            "INSECURE_URL",
            f"{url} is another host, and without TLS the token would go there in the clear.",
            "Use https:// and a proxy with TLS there, or an SSH tunnel to a loopback port; --insecure (or"
            " UNDERSTUDY_INSECURE=1) sends it all the same.",
        )


def _is_this_host(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _refuse_shared(path: Path, *, secret: bool = False) -> None:
    fault = found_fault(path, secret=secret) if path.is_file() else None
    if fault is not None:  # a pipe is nobody else's: '--token-file <(…)'
        raise usage("NOT_PRIVATE", fault.message, fault.remedy)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_good = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_good or parts.path.strip("/"):
        raise usage("BAD_URL", f"{url!r} is no address of the API.", f"Give one such as {DEFAULT_URL}.")
    return url.rstrip("/")


def _token(options: Options, environment: Mapping[str, str], file: Mapping[str, str]) -> str:
    given = environment.get("UNDERSTUDY_TOKEN")
    path = options.token_file
    if path is None and given:
        return _one_word(given, "UNDERSTUDY_TOKEN")
    path = path or environment.get("UNDERSTUDY_TOKEN_FILE") or file.get("token_file")
    if not path:
        raise usage(
            "NO_TOKEN",
            "no token is known.",
            "Set UNDERSTUDY_TOKEN or UNDERSTUDY_TOKEN_FILE; 'understudy init' showed the token once.",
        )
    _refuse_shared(Path(path).expanduser(), secret=True)
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise usage(
            "NO_TOKEN", f"the token file {path} cannot be read: {error}.", "Check its path and owner."
        ) from None
    return _one_word(text, path)


def _one_word(text: str, source: str) -> str:
    token = text.strip()
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise usage("NO_TOKEN", f"{source} holds no token.", "It holds the token and nothing else.")
    return token


def _client_file(environment: Mapping[str, str]) -> dict[str, str]:
    named = environment.get("UNDERSTUDY_CLIENT_CONFIG")
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "/"), ".config")
    path = Path(named or os.path.join(home, "understudy", "client.toml"))
    _refuse_shared(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named is None:
            return {}
        raise usage("BAD_CLIENT_FILE", f"{path} does not exist.", "Check UNDERSTUDY_CLIENT_CONFIG.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise usage("BAD_CLIENT_FILE", f"{path} cannot be used: {error}.", "Correct it, or move it away.") from None
    for name, value in content.items():
        if name not in _KEYS or not isinstance(value, str):
            raise usage(
                "BAD_CLIENT_FILE", f"{path}: {name!r} is not understood.", f"It may hold {', '.join(_KEYS)}, as text."
            )
    return content
