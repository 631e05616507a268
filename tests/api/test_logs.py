"""Log lines: one JSON object each, with the fields that the code added and the traceback of a fault."""

from __future__ import annotations

import json
import logging

from api.logs import JsonFormatter


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
