"""What a command's id stands for, once its caller has chosen it."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from domain.command_key import CommandKey
from domain.errors import InvalidInput
from tests.domain import tables
from tests.domain.builders import Contexts


def test_a_key_stands_for_one_command_alone() -> None:
    context = replace(Contexts()(), digest="caller, operation and body")
    target = uuid4()
    key = CommandKey.use(context, target, 7)
    assert (key.used.target, key.used.version, key.used.digest) == (target, 7, context.digest)
    assert key.id == CommandKey.identity(context.command_id)
    key.refuse_others(context)
    for other in ("another body", ""):
        with pytest.raises(InvalidInput, match="IDEMPOTENCY_KEY_REUSED") as refusal:
            key.refuse_others(replace(context, digest=other))
        assert (refusal.value.field, bool(refusal.value.remedy)) == ("Idempotency-Key", True)
    assert tables.same_state(key, tables.rebuilt(key))
