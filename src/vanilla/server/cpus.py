"""How many CPUs this process may use: its affinity (sched_getaffinity(2)) and the CPU quota of its control group.

# Facts about control groups
# v2: one tree; the line "0::/a/b" of /proc/self/cgroup names our group, its cpu.max holds "quota period", or "max".
# v1: the line "4:cpu,cpuacct:/a/b"; cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us. Every ancestor's quota holds as
# well. A container sees its own group mounted as the root, while the line may still name the path on the host: then the
# path does not exist here, and its last existing ancestor, the root of the mount, is the group.
"""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath


def allowed_cpus() -> list[int]:
    """The numbers of the CPUs that the calling thread may run on; all of them where the platform cannot tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_cpu_count(root: Path = Path("/")) -> int:
    """CPUs in the affinity mask, or the control group's quota rounded up where that is less; at least 1."""
    quota = cgroup_quota(root)
    return max(1, min(len(allowed_cpus()), math.ceil(quota) if quota is not None else 2**31))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time that the control group and its ancestors allow; None without a limit."""
    quotas = [quota for path in _group_paths(root) if (quota := _quota_at(path)) is not None]
    return min(quotas, default=None)


def _group_paths(root: Path) -> list[Path]:
    """Our groups' directories and all their ancestors, in either version."""
    paths: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        names = controllers.split(",")
        if controllers == "":
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif "cpu" in names:
            mounts = [root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup/cpu"]
        else:
            continue
        inside = PurePosixPath(group.lstrip("/"))
        paths += [mount / step for mount in mounts for step in (inside, *inside.parents)]
    return paths


def _quota_at(path: Path) -> float | None:
    quota, _, period = _read(path / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = _read(path / "cpu.cfs_quota_us").strip(), _read(path / "cpu.cfs_period_us").strip()
    if not (quota.isdigit() and period.isdigit()):  # "max", "-1", or no such file
        return None
    return int(quota) / int(period) if int(quota) and int(period) else None


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
