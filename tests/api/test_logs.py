"""Log lines: one JSON object each, with the fields that the code added and the traceback of a fault."""

from __future__ import annotations

import io
import json
import logging
import unicodedata

from api.access import new_token
from api.characters import escaped
from api.log_rate import LINES, MOST_KEYS, WINDOW_SECONDS, LimitedHandler, LogRate
from api.logs import LONGEST_TEXT, JsonFormatter


def test_a_line_holds_the_extra_fields() -> None:
    record = logging.LogRecord("understudy.api", logging.INFO, "f", 1, "answered %s", ("x\ny",), None)
    record.run = "r1"
    line = JsonFormatter().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"], found["run"]) == (
        "info",
        "understudy.api",
        "answered x\ny",
        "r1",
    )


def test_a_fault_has_its_traceback_in_the_same_line() -> None:
    try:
        raise ValueError("swordfish")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "m", (), (type(error), error, error.__traceback__))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: swordfish" in json.loads(line)["exception"]


def logged(handler: LimitedHandler, message: str, times: int, **extra: str) -> None:
    for _ in range(times):
        record = logging.LogRecord("asyncio", logging.ERROR, "f", 1, message, (), None)
        vars(record).update(extra)
        handler.handle(record)


def test_lines_that_repeat_are_counted_in_place_of_written() -> None:
    now = [0.0]
    stream = io.StringIO()
    handler = LimitedHandler(stream, LogRate(lambda: now[0]))
    handler.setFormatter(JsonFormatter())
    logged(handler, "socket.accept() out of system resource", 10_000)
    logged(handler, "answered", 3, actor="ann")
    assert len(stream.getvalue().splitlines()) == LINES + 3
    now[0] = WINDOW_SECONDS
    logged(handler, "answered", 1, actor="ann")
    told = json.loads(stream.getvalue().splitlines()[-2])
    assert (told["left_out"], told["like"], told["level"]) == (
        10_000 - LINES,
        "socket.accept() out of system resource",
        "error",
    )
    logged(handler, "socket.accept() out of system resource", LINES + 1)
    handler.close()
    assert json.loads(stream.getvalue().splitlines()[-1])["left_out"] == 1


def test_a_flood_of_different_lines_is_bounded_too() -> None:
    stream = io.StringIO()
    handler = LimitedHandler(stream, LogRate(lambda: 0.0))
    for number in range(5 * MOST_KEYS):
        logged(handler, f"line {number}", 1)
    assert len(stream.getvalue().splitlines()) <= MOST_KEYS + LINES


def test_what_looks_like_a_token_is_never_in_a_line() -> None:
    token = new_token()
    for text in (token, f"Authorization: Bearer {token}", f"'bearer  {token}\\x00'", f"Bearer\t{token}"):
        record = logging.LogRecord("x", logging.INFO, "f", 1, "%s", (text,), None)
        record.path = f"/v1/{text}"
        line = JsonFormatter().format(record)
        assert token[3:] not in line
        assert json.loads(line)["level"] == "info"


def test_no_character_that_cannot_be_seen_is_written_raw() -> None:
    unseen = [chr(number) for number in range(0x110000) if unicodedata.category(chr(number)) in ("Cc", "Cf", "Cs")]
    unseen += ["\u2028", "\u2029"]
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%s", ("".join(unseen)[-4_000:],), None)
    line = JsonFormatter().format(record)
    assert not set(unseen) & set(line)
    assert not [char for char in unseen if escaped(char) == char]
    assert escaped("é ü 漢 🙂") == "é ü 漢 🙂"


def test_long_texts_are_cut() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "x" * 1_000_000, (), None)
    assert len(JsonFormatter().format(record)) < 2 * LONGEST_TEXT
