"""Who may use the API: bearer tokens, of which only the SHA-256 is known here, and the names that Host may hold.

A token's name is the actor of every event that a request with it records. The rule is the same over TCP and over a
Unix socket: whoever can connect to the socket is not thereby known by name, and events must name somebody.

The Host header is checked because a web page of another site can make a browser on this machine connect to a loopback
address under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from api.problems import RequestRefused

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_BYTES = 32
_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/=-]{1,512}) *", re.IGNORECASE)


def new_token() -> str:
    """Return a token that cannot be guessed; it is shown once and kept nowhere."""
    return f"us_{secrets.token_urlsafe(TOKEN_BYTES)}"


def token_hash(token: str) -> str:
    """Return what the settings hold of a token. A plain SHA-256 is enough, because a token is 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class Access:
    """Decides who asks. ``tokens`` maps the name of a token to its hash; ``hosts`` are names besides loopback's."""

    tokens: Mapping[str, str]
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, tokens: Mapping[str, str], hosts: Iterable[str] = ()) -> Access:
        """Build it from the settings."""
        return cls(dict(tokens), frozenset(host.lower() for host in hosts))

    def actor(self, authorization: str | None) -> str:
        """Return the name of the token in an Authorization header; raise ``RequestRefused`` UNAUTHENTICATED.

        Every known token is compared, each in constant time, so that the time taken tells nothing.
        """
        match = _BEARER.fullmatch(authorization or "")
        offered = token_hash(match.group(1)) if match else ""
        names = [name for name, known in self.tokens.items() if hmac.compare_digest(offered, known.lower())]
        if not names:
            raise RequestRefused(
                HTTPStatus.UNAUTHORIZED,
                "UNAUTHENTICATED",
                "no token was given." if match is None else "the token is not known.",
                remedy="Send 'Authorization: Bearer TOKEN'; the command line reads UNDERSTUDY_TOKEN or a token file.",
            )
        return names[0]

    def check_host(self, host: str | None) -> None:
        """Raise ``RequestRefused`` WRONG_HOST unless the Host header names this server."""
        try:
            name = (urlsplit(f"//{host or ''}").hostname or "").lower()
        except ValueError:
            name = ""
        if name not in LOOPBACK_NAMES and name not in self.hosts:
            raise RequestRefused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "WRONG_HOST",
                "the Host header names another server.",
                remedy="Use the address that 'understudy serve' prints.",
            )
