"""All faults, by the part of the product that they are in."""

from __future__ import annotations

from scripts.mutatekit.catalogue.contents import CONTENTS
from scripts.mutatekit.catalogue.domain_faults import DOMAIN
from scripts.mutatekit.catalogue.guards import GUARDS
from scripts.mutatekit.catalogue.hbase_apply import HBASE_APPLY
from scripts.mutatekit.catalogue.hdfs_apply import HDFS_APPLY
from scripts.mutatekit.catalogue.moment import MOMENT
from scripts.mutatekit.catalogue.spool import SPOOL
from scripts.mutatekit.catalogue.store import STORE
from scripts.mutatekit.catalogue.workers import WORKERS

CATALOGUE = (*HBASE_APPLY, *HDFS_APPLY, *CONTENTS, *GUARDS, *MOMENT, *SPOOL, *STORE, *WORKERS, *DOMAIN)
