"""The page of lifecycles says what the tables say."""

from __future__ import annotations

from scripts.lifecycles import LIFECYCLES, PAGE, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m scripts.lifecycles"


def test_every_rule_is_drawn() -> None:
    for _, machine in LIFECYCLES:
        for rule in machine.RULES:
            for source in rule.sources:
                assert f"{source} --> {rule.target}: {rule.trigger} / {rule.event}" in page()
