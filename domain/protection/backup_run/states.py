"""The states of a backup run and the one table that says how it moves.

PLANNED      policy version and moment are frozen into the run
CHECKING     facts of both clusters are gathered and judged; the snapshots are being ordered
ARMED        the primary's agent holds the snapshot instruction and fires it at the moment by itself
SNAPSHOTTED  every snapshot exists; skew and grades are computed
STAGING      every byte lands in the secondary's staging and is checked there
HELD         the changes exceed the policy's limit: a person must confirm them
APPLYING     the secondary changes its heads, metadata only; rolled forward, unless a person gives it up
FREEZING     snapshots of the same name are taken on the secondary
VERIFYING    the secondary digests its own frozen snapshots
SEALING      manifest and audit anchor are written and read back on the secondary
COMPLETED    the run and its recovery point are one save
CLEANING     what the run left on both sides is removed; then FAILED or CANCELLED
"""

from __future__ import annotations

from domain.stateful import Part, Rule

PLANNED = "PLANNED"
CHECKING = "CHECKING"
ARMED = "ARMED"
SNAPSHOTTED = "SNAPSHOTTED"
STAGING = "STAGING"
HELD = "HELD"
APPLYING = "APPLYING"
FREEZING = "FREEZING"
VERIFYING = "VERIFYING"
SEALING = "SEALING"
COMPLETED = "COMPLETED"
CLEANING = "CLEANING"
FAILED = "FAILED"
CANCELLED = "CANCELLED"

STATES = (
    PLANNED, CHECKING, ARMED, SNAPSHOTTED, STAGING, HELD, APPLYING,
    FREEZING, VERIFYING, SEALING, COMPLETED, CLEANING, FAILED, CANCELLED,
)  # fmt: skip
ENDED = (COMPLETED, FAILED, CANCELLED)
OPEN = tuple(state for state in STATES if state not in ENDED)
BEFORE_APPLYING = (PLANNED, CHECKING, ARMED, SNAPSHOTTED, STAGING, HELD)

RULES = (
    Rule("start_checking", (PLANNED,), CHECKING, "CheckingStarted"),
    Rule("refuse", (CHECKING,), FAILED, "ChecksFailed"),
    Rule("move_moment", (CHECKING, ARMED), CHECKING, "MomentMoved"),
    Rule("arm", (CHECKING,), ARMED, "Armed"),
    Rule("accept_snapshots", (ARMED,), SNAPSHOTTED, "SnapshotsTaken"),
    Rule("stage", (SNAPSHOTTED,), STAGING, "StagingStarted"),
    Rule("brake", (STAGING,), HELD, "MassChangeFound"),
    Rule("apply", (STAGING, HELD), APPLYING, "ApplyingStarted"),
    Rule("freeze", (APPLYING,), FREEZING, "Applied"),
    Rule("verify", (FREEZING,), VERIFYING, "Frozen"),
    Rule("seal", (VERIFYING,), SEALING, "Verified"),
    Rule("complete", (SEALING,), COMPLETED, "Completed"),
    Rule("fail", (CHECKING, ARMED, SNAPSHOTTED, STAGING, HELD, APPLYING, VERIFYING), CLEANING, "FailureFound"),
    Rule("abandon", (APPLYING, FREEZING, VERIFYING, SEALING), CLEANING, "FailureFound"),
    Rule("cancel", BEFORE_APPLYING, CLEANING, "CancelRequested"),
    Rule("end_failed", (CLEANING,), FAILED, "Failed"),
    Rule("end_cancelled", (CLEANING,), CANCELLED, "Cancelled"),
)

COPYING = "COPYING"
STAGED = "STAGED"


class Copy(Part):
    """The copy of one data set into staging; ``key`` is the data set's id."""

    INITIAL_STATE = COPYING
    STATES = (COPYING, STAGED)
    RULES = (Rule("finish", (COPYING,), STAGED, "CopyStaged"),)
