"""What the API's page of a run says, by name: the one place that knows where in the JSON it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.cli.remote.text import printable

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
WAY = (
    "PLANNED", "CHECKING", "ARMED", "SNAPSHOTTED", "STAGING", "APPLYING",
    "FREEZING", "VERIFYING", "SEALING", "COMPLETED",
)  # fmt: skip

Facts = Mapping[str, Any]
NONE: Facts = {}


@dataclass(frozen=True)
class DataSetPart:
    """One data set of a run: what was told about its snapshot, its copy and its proof; empty where not yet."""

    id: str
    name: str
    is_staged: bool
    snapshot: Facts
    staged: Facts
    verified: Facts

    @property
    def grade(self) -> str:
        """EXACT, BOUNDED or FUZZY, or empty."""
        return str((self.snapshot.get("evidence") or NONE).get("grade") or "")

    @property
    def reason(self) -> str:
        """Why it has that grade."""
        return str((self.snapshot.get("evidence") or NONE).get("reason") or "")

    @property
    def open_files(self) -> int:
        """How many of its files were open at the cut (FUZZY): as listed then, or as found while copying."""
        return max(len(self.snapshot.get("open_files") or ()), int(self.staged.get("fuzzy") or 0))


@dataclass(frozen=True)
class RunPage:
    """A run's page as the API answers it."""

    page: Facts

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.page["id"])

    @property
    def state(self) -> str:
        """The run's state."""
        return str(self.page["state"])

    @property
    def service(self) -> str:
        """The service's name."""
        return str(self.page.get("service", ""))

    @property
    def way(self) -> str:
        """Who sends or fetches, from where to where."""
        first, second = self.page.get("primary"), self.page.get("secondary")
        return printable(f"{self.page.get('direction')}, {first} → {second}")

    @property
    def waits_for_a_person(self) -> bool:
        """Whether nothing goes on until somebody confirms it, lets it try again, or gives it up."""
        return (self.state == "HELD" and not self.page.get("confirmed")) or self.stopped is not None

    @property
    def stopped(self) -> Facts | None:
        """The alarm that something was refused for good, so that nothing is tried any more."""
        return next((alarm for alarm in self.page.get("alarms") or () if alarm.get("code") == "STOPPED"), None)

    @property
    def moment_ms(self) -> float:
        """The moment."""
        return float(self.page["moment_ms"])

    @property
    def moment_moves(self) -> Sequence[Mapping[str, Any]]:
        """Other moments that the run has chosen, each ``{code, from_ms, to_ms}``, the newest last."""
        return self.page.get("moment_moves") or ()

    @property
    def data_sets(self) -> Sequence[DataSetPart]:
        """The data sets, in the run's order."""
        snapshots, copies, staged = self._facts("snapshots"), self._facts("copies"), self._facts("staged")
        verified = self._facts("verification").get("data_sets") or NONE
        return [
            DataSetPart(
                id=one["id"],
                name=f"{one['component']}:{one['name']}",
                is_staged=copies.get(one["id"]) == "STAGED",
                snapshot=snapshots.get(one["id"]) or NONE,
                staged=staged.get(one["id"]) or NONE,
                verified=verified.get(one["id"]) or NONE,
            )
            for one in self.page.get("data_sets") or ()
        ]

    @property
    def max_skew_ms(self) -> float | None:
        """What the policy allows."""
        limit = self._facts("settings").get("max_skew_ms")
        return None if limit is None else float(limit)

    @property
    def level(self) -> str:
        """The level of verification."""
        return printable(self._facts("settings").get("verification") or "")

    @property
    def trial_clone(self) -> Facts:
        """The table that was cloned to show that it can be done, or empty."""
        return self._facts("verification").get("trial_clone") or NONE

    @property
    def trial_clone_hours(self) -> int | None:
        """How often each table of the run is cloned on trial; None without tables, or when that is switched off."""
        settings = self._facts("settings")
        has_tables = any(part.name.startswith("hbase:") for part in self.data_sets)
        hours = settings.get("trial_clone_hours") if settings.get("trial_clone") and has_tables else None
        return hours or None

    @property
    def durations(self) -> Sequence[tuple[str, float | None]]:
        """How long the run was in each state, in its order; seconds."""
        return [(one["state"], one.get("seconds")) for one in self.page.get("durations") or ()]

    @property
    def live(self) -> Facts:
        """Facts recorded nowhere: progress of copies, gateways, what is waited for."""
        return self._facts("live")

    @property
    def consistency(self) -> Facts:
        """Skew, uncertainty, limit and verdict, or empty."""
        return self._facts("consistency")

    @property
    def failure(self) -> Facts:
        """Why the run failed, or empty."""
        return self._facts("failure")

    @property
    def last_failure(self) -> Mapping[str, Facts]:
        """By step, what failed and is being tried again."""
        return self._facts("last_failure")

    @property
    def mass_change(self) -> Facts:
        """What would be deleted or replaced, or empty."""
        return self._facts("mass_change")

    @property
    def adopted(self) -> Sequence[tuple[str, Facts]]:
        """By data set's name, what was found on the secondary and is taken over; of data sets where something was."""
        return [(part.name, part.staged["adopted"]) for part in self.data_sets if part.staged.get("adopted")]

    def _facts(self, name: str) -> Facts:
        return self.page.get(name) or NONE
