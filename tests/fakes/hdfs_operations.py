"""What a simulated NameNode does for each WebHDFS operation; the methods' names are the operations' names."""

from __future__ import annotations

from typing import Any

from tests.fakes.hdfs_acl import apply_specification, group_mode
from tests.fakes.hdfs_namespace import SNAPSHOT, Inode, children_in_order, difference, freeze, sort_key, walk
from tests.fakes.hdfs_tree import Tree, refusal

POLICIES = {2: "COLD", 5: "WARM", 7: "HOT", 12: "ALL_SSD"}
WITHOUT_FALLBACK = ("COLD", "HOT")


class Reading(Tree):
    """Operations that change nothing. Pages have ``page_size`` entries."""

    page_size = 1000

    def _status(self, inode: Inode, suffix: str, parent_policy: int = 0) -> dict[str, Any]:
        status = {
            "accessTime": 0,
            "blockSize": inode.block_size,
            "childrenNum": len(inode.children or {}),
            "fileId": inode.id,
            "group": inode.group,
            "length": 0 if inode.is_directory else inode.length,
            "modificationTime": inode.content.modified_ms,
            "owner": inode.owner,
            "pathSuffix": suffix,
            "permission": inode.mode,
            "replication": inode.replication,
            "storagePolicy": inode.shown_policy or parent_policy,
            "type": "DIRECTORY" if inode.is_directory else "FILE",
        }
        return {**status, "aclBit": True} if inode.acl else status

    def effective_policy(self, inode: Inode | None) -> int:
        """The storage policy of an inode or the nearest directory above that has one."""
        while inode is not None and not inode.shown_policy:
            inode = inode.parent
        return inode.shown_policy if inode is not None else 0

    def _getfilestatus(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        inode = self._existing(path)
        return {"FileStatus": self._status(inode, "", self.effective_policy(inode.parent))}

    def _entries(self, path: str) -> list[dict[str, Any]]:
        above = self.find(path.removesuffix(f"/{SNAPSHOT}"))
        if path.endswith(f"/{SNAPSHOT}") and above is not None and above.snapshots is None:
            raise refusal("SnapshotException", f"Directory is not a snapshottable directory: {path}")
        inode = self._existing(path)
        if not inode.is_directory:
            return [self._status(inode, "", self.effective_policy(inode.parent))]
        policy = self.effective_policy(inode)
        return [self._status(child, name, policy) for name, child in children_in_order(inode)]

    def _liststatus(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        return {"FileStatuses": {"FileStatus": self._entries(path)}}

    def _liststatus_batch(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        after = sort_key(params.get("startAfter", ""))
        entries = [entry for entry in self._entries(path) if not after or sort_key(entry["pathSuffix"]) > after]
        page = entries[: self.page_size]
        listing = {"FileStatuses": {"FileStatus": page}}
        return {"DirectoryListing": {"partialListing": listing, "remainingEntries": len(entries) - len(page)}}

    def _getaclstatus(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        inode = self._existing(path)
        return {"AclStatus": {"entries": list(inode.acl), "group": inode.group, "owner": inode.owner}}

    def _getxattrs(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        attributes = self._existing(path).attributes
        values = {name: None if value == "0x" else value for name, value in attributes.items()}
        return {"XAttrs": [{"name": name, "value": value} for name, value in values.items()]}

    def _getquotausage(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        inode = self._existing(path)
        return {"QuotaUsage": {"quota": inode.quota, "spaceQuota": inode.space_quota}}

    def _getcontentsummary(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        trees = [inode for _, inode in walk(self._existing(path))]
        files = [inode for inode in trees if not inode.is_directory]
        return {
            "ContentSummary": {
                "directoryCount": len(trees) - len(files),
                "fileCount": len(files),
                "length": sum(file.length for file in files),
                "spaceConsumed": sum(file.length * file.replication for file in files),
            }
        }

    def _getallstoragepolicy(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        policies = [
            {"id": number, "name": name, "creationFallbacks": [] if name in WITHOUT_FALLBACK else ["DISK"]}
            for number, name in POLICIES.items()
        ]
        return {"BlockStoragePolicies": {"BlockStoragePolicy": policies}}


class Changing(Tree):
    """Operations on the tree."""

    longest_name_bytes = 255

    def _mkdirs(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        inode = self.root
        for name in (name for name in path.split("/") if name):
            child = (inode.children or {}).get(name)
            if child is None:
                self._check_length(name)
                is_last = path.endswith(f"/{name}")
                child = self._add(inode, name, user, params.get("permission", "755") if is_last else "755", True)
            if not child.is_directory:
                exception = "FileAlreadyExistsException" if path.endswith(f"/{name}") else "ParentNotDirectoryException"
                raise refusal(exception, f"{path} (is not a directory)")
            inode = child
        return {"boolean": True}

    def _check_length(self, name: str) -> None:
        length, limit = len(name.encode()), self.longest_name_bytes
        if length > limit:
            told = f"limit={limit} length={length}"
            message = f"The maximum path component name limit of {name} in directory / is exceeded: {told}"
            raise refusal("PathComponentTooLongException", message)

    def _rename(self, path: str, params: dict[str, str], user: str) -> None:
        assert params["renameoptions"] == "NONE"
        target = params["destination"]
        inode = self.find(path)
        if inode is None or inode.parent is None:
            raise refusal("FileNotFoundException", f"rename source {path} is not found.")
        if target.startswith(f"{path}/"):
            raise refusal("IOException", f"Rename destination {target} is a directory or file under source {path}")
        found = self.find(target)
        if found is not None and found.is_directory != inode.is_directory:
            raise refusal("IOException", f"Source {path} and destination {target} must both be directories")
        if found is not None:
            raise refusal("FileAlreadyExistsException", f"rename destination {target} already exists")
        parent, name = self._parent(target, f"rename destination parent {target} not found.")
        self._check_no_snapshots(path, inode)
        if parent is not inode.parent:
            self._check_quota(parent)
        assert inode.parent.children is not None
        assert parent.children is not None
        del inode.parent.children[path.rpartition("/")[2]]
        inode.parent.modified_ms = parent.modified_ms = self.now_ms()
        parent.children[name] = inode
        inode.parent = parent

    def _delete(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        inode = self.find(path)
        if inode is None or inode.parent is None:
            return {"boolean": False}
        if inode.children and params.get("recursive") != "true":
            raise refusal("PathIsNotEmptyDirectoryException", f"`{path} is non empty': Directory is not empty")
        self._check_no_snapshots(path, inode)
        assert inode.parent.children is not None
        del inode.parent.children[path.rpartition("/")[2]]
        inode.parent.modified_ms = self.now_ms()
        return {"boolean": True}

    def _check_no_snapshots(self, path: str, inode: Inode) -> None:
        if any(below.snapshots for _, below in walk(inode)):
            raise refusal(
                "SnapshotException",
                f"The directory {path} cannot be deleted since {path} is snapshottable and already has snapshots",
            )

    def _is_in_snapshot(self, inode: Inode) -> bool:
        return any(True for _ in self._frozen_of(inode))

    def _concat(self, path: str, params: dict[str, str], user: str) -> None:
        target = self._file(path)
        if target.is_open:
            raise refusal("HadoopIllegalArgumentException", f"concat: target file {path} is under construction")
        names = params["sources"].split(",")
        sources = [self._file(name) for name in names]
        for name, source in zip(names, sources, strict=True):
            self._check_may_be_joined(name, source, target)
        if len(set(names)) < len(names):
            message = "concat: at least two of the source files are the same"
            raise refusal("HadoopIllegalArgumentException", message)
        target.record_modification()
        for name, source in zip(names, sources, strict=True):
            target.blocks = target.blocks + source.blocks
            assert source.parent is not None
            assert source.parent.children is not None
            del source.parent.children[name.rpartition("/")[2]]
        assert target.parent is not None
        target.modified_ms = target.parent.modified_ms = self.now_ms()

    def _check_may_be_joined(self, name: str, source: Inode, target: Inode) -> None:
        if source.parent is not target.parent:
            message = f"Source file {name} is not in the same directory with the target"
        elif self._is_in_snapshot(source):
            raise refusal("SnapshotException", f"Concat: the source file {name} is in snapshot")
        elif source is target:
            message = f"concat: the src file {name} is the same with the target file"
        elif source.is_open or not source.blocks:
            message = f"concat: source file {name} is invalid or empty or underConstruction"
        elif source.block_size > target.block_size:
            message = f"concat: source file {name} has a larger preferred block size"
        else:
            return
        raise refusal("HadoopIllegalArgumentException", message)


class Settings(Tree):
    """Operations on attributes."""

    def _changing(self, path: str) -> Inode:
        inode = self._existing(path)
        inode.record_modification()
        return inode

    def _setowner(self, path: str, params: dict[str, str], user: str) -> None:
        inode = self._changing(path)
        inode.owner = params.get("owner") or inode.owner
        inode.group = params.get("group") or inode.group

    def _setpermission(self, path: str, params: dict[str, str], user: str) -> None:
        self._changing(path).mode = params["permission"].lstrip("0").rjust(3, "0")

    def _settimes(self, path: str, params: dict[str, str], user: str) -> None:
        inode = self._changing(path)
        if int(params["modificationtime"]) >= 0:
            inode.modified_ms = int(params["modificationtime"])

    def _setreplication(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        self._changing(path).replication = int(params["replication"])
        return {"boolean": True}

    def _setstoragepolicy(self, path: str, params: dict[str, str], user: str) -> None:
        numbers = {name: number for number, name in POLICIES.items()}
        self._changing(path).policy = numbers[params["storagepolicy"]]

    def _unsetstoragepolicy(self, path: str, params: dict[str, str], user: str) -> None:
        self._changing(path).policy = 0

    def _setacl(self, path: str, params: dict[str, str], user: str) -> None:
        apply_specification(self._changing(path), params["aclspec"])

    def _removedefaultacl(self, path: str, params: dict[str, str], user: str) -> None:
        inode = self._changing(path)
        inode.acl = [entry for entry in inode.acl if not entry.startswith("default:")]

    def _removeacl(self, path: str, params: dict[str, str], user: str) -> None:
        inode = self._changing(path)
        own = [entry for entry in inode.acl if entry.startswith("group::")]
        if own:
            inode.mode = group_mode(inode.mode, own[0])
        inode.acl = []

    def _setxattr(self, path: str, params: dict[str, str], user: str) -> None:
        self._changing(path).attributes[params["xattr.name"]] = params.get("xattr.value", "0x")

    def _removexattr(self, path: str, params: dict[str, str], user: str) -> None:
        if self._changing(path).attributes.pop(params["xattr.name"], None) is None:
            raise refusal("IOException", "No matching attributes found for remove operation")


class Snapshots(Tree):
    """Operations on snapshots."""

    capture_open_files = False
    page_size = 1000

    def _allowsnapshot(self, path: str, params: dict[str, str], user: str) -> None:
        inode = self._existing(path)
        if inode.snapshots is not None:
            return
        above = inode.parent
        nested = [below for _, below in walk(inode) if below.snapshots is not None]
        while above is not None and above.snapshots is None:
            above = above.parent
        if above is not None or nested:
            raise refusal(
                "SnapshotException",
                f"Nested snapshottable directories not allowed: path={path}, another is one already.",
            )
        inode.snapshots = {}

    def _createsnapshot(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        inode = self._existing(path)
        name = params["snapshotname"]
        if inode.snapshots is None:
            raise refusal("SnapshotException", f"Directory is not a snapshottable directory: {path}")
        if name in inode.snapshots:
            raise refusal(
                "SnapshotException", f'Failed to add snapshot: there is already a snapshot with the same name "{name}".'
            )
        inode.modified_ms = self.now_ms()
        inode.snapshots[name] = freeze(inode, self.capture_open_files)
        return {"Path": f"{path}/.snapshot/{name}"}

    def _deletesnapshot(self, path: str, params: dict[str, str], user: str) -> None:
        inode = self._existing(path)
        name = params["snapshotname"]
        if inode.snapshots is None:
            raise refusal("SnapshotException", f"Directory is not a snapshottable directory: {path}")
        if name not in inode.snapshots:
            raise refusal(
                "SnapshotException", f"Cannot delete snapshot {name} from path {path}: the snapshot does not exist."
            )
        del inode.snapshots[name]

    def _getsnapshotdifflisting(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        inode = self._existing(path)
        older, newer = (self._state(path, inode, params[name]) for name in ("oldsnapshotname", "snapshotname"))
        lists = difference(older, newer)
        items = [(name, item) for name, found in lists.items() for item in found]
        start = int(params["snapshotdiffindex"]) + 1
        end = start + self.page_size
        page = {name: [item for n, item in items[start:end] if n == name] for name in lists}
        last = end - 1 if end < len(items) else -1
        return {"SnapshotDiffReportListing": {**page, "lastPath": "", "lastIndex": last, "isFromEarlier": True}}

    def _state(self, path: str, inode: Inode, name: str) -> Inode:
        if not name:
            return inode
        if name not in (inode.snapshots or {}):
            raise refusal("SnapshotException", f"Cannot find the snapshot of directory {path} with name {name}")
        assert inode.snapshots is not None
        return inode.snapshots[name]
