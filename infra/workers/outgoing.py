"""From what an aggregate wants to what travels: instruction, credentials, gateway.

The same wish gives the same instruction for ever: epoch and ``not_after`` are taken from the ``Instructed`` event once
there is one, and the term, which differs from controller to controller, is no part of the digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from domain.instructing import Instructing, Sent
from domain.instruction import Wanted
from domain.values.endpoints import Endpoints
from infra.agent.protocol import Instruction
from infra.ports.gateway import Submission


class CredentialSource(Protocol):
    """Gives the credentials that instructions are carried out with."""

    def __call__(self, sites: Mapping[str, Endpoints]) -> dict[str, Any]:
        """Return credentials by site; see ``infra.agent.protocol`` for their form."""


def simple_credentials(sites: Mapping[str, Endpoints]) -> dict[str, Any]:
    """Credentials of clusters without Kerberos: the users' names."""
    return {
        site: {
            "hdfs": {"kind": "simple", "user": endpoints.hdfs_user},
            "hbase": {"kind": "simple", "user": endpoints.hbase_user},
        }
        for site, endpoints in sites.items()
    }


@dataclass(frozen=True)
class Outgoing:
    """One instruction that is to be carried out now.

    ``endpoints`` are today's of the cluster whose gateway carries it out, ``sites`` those of the clusters that it
    names. ``fails_unreachable``: a gateway that cannot be reached is a failure of the instruction; otherwise it is
    waited for.
    """

    owner: UUID
    data_set: str
    instruction: Instruction
    endpoints: Endpoints
    sites: Mapping[str, Endpoints]
    fails_unreachable: bool

    def submission(
        self,
        credentials: CredentialSource,
        allowance: Mapping[str, Any] | None,
        controller: Mapping[str, Any] | None,
    ) -> Submission:
        """What is handed to the gateway."""
        return Submission(self.instruction, credentials(self.sites), allowance, controller)


def instruction_of(wanted: Wanted, pair: UUID, sent: Sent, term: int) -> Instruction:
    """The instruction of a wish; ``sent.digest`` is not looked at."""
    return Instruction(
        id=wanted.id,
        kind=wanted.kind,
        pair=pair.hex,
        cluster=wanted.cluster,
        epoch=sent.epoch,
        term=term,
        run=wanted.owner.hex,
        step=wanted.wire_step,
        attempt=wanted.attempt,
        not_after_ms=sent.not_after_ms,
        payload=wanted.payload,
    )


def digest_of(aggregate: Instructing, wanted: Wanted, epoch: int, not_after_ms: int) -> str:
    """The digest that ``Instructed`` records for a wish of the aggregate."""
    sent = Sent(wanted.cluster, "", epoch, not_after_ms)
    return instruction_of(wanted, aggregate.pair_id, sent, 0).digest()
