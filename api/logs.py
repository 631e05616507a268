"""Logs as JSON lines on standard error: one object a record, with whatever the code that logs has added.

What requests say gets into fields of records (a path, a message); here, in the one place through which all of it goes,
characters that cannot be seen are escaped, lengths are bounded, and whatever looks like a token is taken out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

from api.characters import escaped_json
from api.log_rate import LimitedHandler

LONGEST_TEXT = 8_000
_TOKEN = re.compile(r"us_[A-Za-z0-9_-]{16,}|(?i:bearer)[ \\]+[^\s\"]+")
_OWN = frozenset(vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName"})


class JsonFormatter(logging.Formatter):
    """Writes time, level, logger, message, every extra field, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps({name: _bounded(value) for name, value in line.items()}, default=str, ensure_ascii=False)
        return escaped_json(_TOKEN.sub("[a token]", text))


def _bounded(value: Any) -> Any:
    """The end of a long text: that is where a traceback says what went wrong."""
    return f"…{value[-LONGEST_TEXT:]}" if isinstance(value, str) and len(value) > LONGEST_TEXT else value


def log_to_stderr(level: str) -> None:
    """Send every logger of the process there. The libraries' own chatter begins at warnings."""
    handler = LimitedHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in ("asyncssh", "aiohttp", "asyncio", "transitions", "eventsourcing"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))
