"""The CPUs that a process may use: every layout of control groups that the kernel offers, as files in a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from system import needs_affinity
from vanilla.server.cpus import allowed_cpus, cgroup_quota, usable_cpu_count

LAYOUTS = [
    pytest.param({}, None, id="no_control_groups"),
    pytest.param({"proc/self/cgroup": "0::/\n"}, None, id="v2_without_files"),
    pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None, id="v2_unlimited"),
    pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5, id="v2_container"),
    pytest.param(
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000",
            "sys/fs/cgroup/a/cpu.max": "50000 100000",
        },
        0.5,
        id="v2_an_ancestor_limits",
    ),
    pytest.param(
        {
            "proc/self/cgroup": "0::/a/b",
            "sys/fs/cgroup/a/b/cpu.max": "200000 100000",
            "sys/fs/cgroup/a/cpu.max": "300000 100000",
        },
        2.0,
        id="v2_the_least_holds",
    ),
    pytest.param(
        {
            "proc/self/cgroup": "12:memory:/x\n4:cpu,cpuacct:/docker/abc\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        2.5,
        id="v1_container_whose_path_is_the_hosts",
    ),
    pytest.param(
        {
            "proc/self/cgroup": "4:cpu:/a\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
        },
        None,
        id="v1_unlimited",
    ),
    pytest.param(
        {"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "nonsense"}, None, id="nonsense_is_no_limit"
    ),
    pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "0 0"}, None, id="zero_is_no_limit"),
]


@pytest.mark.parametrize(("files", "quota"), LAYOUTS)
def test_the_quota_of_the_control_group(files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_quota(tmp_path) == quota


@needs_affinity
@pytest.mark.parametrize(
    ("quota", "allowed", "count"),
    [
        pytest.param("max 100000", 4, 4, id="affinity_alone"),
        pytest.param("150000 100000", 4, 2, id="quota_rounded_up"),
        pytest.param("800000 100000", 4, 4, id="affinity_is_less"),
        pytest.param("1000 100000", 4, 1, id="at_least_one"),
    ],
)
def test_the_lesser_of_affinity_and_quota_counts(
    quota: str, allowed: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)))
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text(quota)
    assert usable_cpu_count(tmp_path) == count


def test_this_process_may_use_a_cpu() -> None:
    assert allowed_cpus()
    assert 1 <= usable_cpu_count() <= len(allowed_cpus())
