"""The wire format stays as it is: the golden files parse, and give the very same bytes and digests again.

A file that fails here was sent by controllers that are in use: a change of the format needs another version.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.agent.core.procedures import PROCEDURES
from infra.agent.payloads import PAYLOADS
from infra.agent.protocol import BULK_KINDS, WireError, canonical, check_allowance, outcome, parse_instruction

WIRE = Path(__file__).parent / "wire"
DIGESTS = dict(line.split() for line in (WIRE / "digests.txt").read_text().splitlines())


@pytest.mark.parametrize("kind", DIGESTS)
def test_golden_instructions_parse_to_the_same_bytes_and_digest(kind: str) -> None:
    data = (WIRE / f"{kind}.json").read_bytes()
    instruction = parse_instruction(json.loads(data))
    assert instruction.kind == kind
    assert canonical(instruction.to_wire()) + b"\n" == data
    assert instruction.digest() == DIGESTS[kind]


@pytest.mark.parametrize("kind", ["OpenCopies", "CloseCopies"])
def test_openings_of_before_stay_as_they_were_and_today_name_clones_by_table(kind: str) -> None:
    wire = json.loads((WIRE / f"{kind}.json").read_bytes())
    before = parse_instruction(wire)
    assert "by_table" not in before.payload
    today = parse_instruction({**wire, "payload": {**wire["payload"], "scratch": "shop_ba92b7ca", "by_table": True}})
    assert (today.payload["by_table"], today.digest() == before.digest()) == (True, False)
    for unfit in (None, 1, "true"):
        with pytest.raises(WireError, match="by_table"):
            parse_instruction({**wire, "payload": {**wire["payload"], "by_table": unfit}})


def test_every_kind_has_a_golden_file_and_a_procedure() -> None:
    assert set(DIGESTS) == set(PAYLOADS)
    assert set(PROCEDURES) == set(PAYLOADS)


def test_the_term_is_not_part_of_the_digest_and_all_else_is() -> None:
    wire = json.loads((WIRE / "Abort.json").read_bytes())
    digest = parse_instruction(wire).digest()
    assert parse_instruction({**wire, "term": wire["term"] + 1}).digest() == digest
    changes = {"epoch": 5, "not_after_ms": 1, "attempt": 1, "payload": {"instructions": []}, "cluster": "west"}
    for name, value in changes.items():
        assert parse_instruction({**wire, name: value}).digest() != digest, name


def test_golden_outcomes_are_written_the_same_way() -> None:
    instruction = parse_instruction(json.loads((WIRE / "Abort.json").read_bytes()))
    lines = (WIRE / "outcomes.ndjson").read_bytes().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["succeeded", "aborted", "failed"]
    for line in lines:
        value = json.loads(line)
        again = outcome(instruction.id, instruction.kind, value["result"], value["failure"], value["at_ms"])
        assert canonical(again) == line


def test_golden_allowances_are_accepted_and_only_bulk_kinds_get_one() -> None:
    lines = [json.loads(line) for line in (WIRE / "allowances.ndjson").read_bytes().splitlines()]
    submission, question = lines
    instruction = parse_instruction(submission["instruction"])
    assert instruction.kind in BULK_KINDS
    assert set(submission) == {"instruction", "credentials", "allow"}
    assert set(question["ids"]) == set(question["allow"])
    for allowance in [submission["allow"], *question["allow"].values()]:
        check_allowance("allow", allowance)
    assert set(BULK_KINDS) <= set(PAYLOADS)
