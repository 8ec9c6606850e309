# SPDX-License-Identifier: Apache-2.0
"""One contract for both clusters, the real Ray head and the fake beside it; then what holds for each job that runs."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from khatim.errors import NotFound, Unavailable
from runners.zone import cluster as ray_door
from runners.zone.cluster import RayHead, free_ports, run_ray_job
from runners.zone.execution import CHECKOUT, Cluster, JobStatus, run_job
from runners.zone.local_process import LocalProcess, run_local_job
from tests.runners.zone import breast_cancer

JOBS = "tests.runners.zone.jobs"
PATIENCE_S = 60


@pytest.fixture(scope="module", params=["process", pytest.param("ray", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    open_cluster = RayHead.open if request.param == "ray" else LocalProcess.open
    opened = open_cluster(tmp_path_factory.mktemp("cluster"), cpus=2, alive=lambda: True)
    assert opened is not None
    yield opened
    opened.close()
    opened.close()  # twice does no harm


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str], Path]:
    def write(do: str) -> Path:
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({"do": do, "runs": str(tmp_path / "runs"), "out": str(tmp_path / "out.json")}))
        return path

    return write


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until, "it did not come to pass in time"
        time.sleep(0.05)


def _end_of(cluster: Cluster, submission_id: str) -> JobStatus:
    _until(lambda: cluster.status(submission_id).is_final)
    return cluster.status(submission_id)


# --- the contract ---


def test_a_job_runs_and_its_output_is_kept(cluster: Cluster, spec: Callable[[str], Path]) -> None:
    cluster.submit("works-1", JOBS, spec("nothing"))
    assert _end_of(cluster, "works-1") is JobStatus.SUCCEEDED
    assert "did nothing" in cluster.logs("works-1")


def test_a_job_that_fails_is_failed(cluster: Cluster, spec: Callable[[str], Path]) -> None:
    cluster.submit("fails-1", JOBS, spec("fail"))
    assert _end_of(cluster, "fails-1") is JobStatus.FAILED
    assert "did fail" in cluster.logs("fails-1")


def test_the_same_submission_runs_once(cluster: Cluster, spec: Callable[[str], Path], tmp_path: Path) -> None:
    cluster.submit("twice-1", JOBS, spec("nothing"))
    cluster.submit("twice-1", JOBS, spec("nothing"))
    assert _end_of(cluster, "twice-1") is JobStatus.SUCCEEDED
    cluster.submit("twice-1", JOBS, spec("nothing"))
    assert cluster.status("twice-1") is JobStatus.SUCCEEDED
    assert len((tmp_path / "runs").read_text().splitlines()) == 1


def test_a_cancelled_job_stops(cluster: Cluster, spec: Callable[[str], Path], tmp_path: Path) -> None:
    cluster.submit("stops-1", JOBS, spec("sleep"))
    _until(lambda: (tmp_path / "out.json").exists() and bool((tmp_path / "out.json").read_text()))
    assert cluster.status("stops-1") is JobStatus.RUNNING
    cluster.cancel("stops-1")
    assert _end_of(cluster, "stops-1") is JobStatus.CANCELLED
    cluster.cancel("stops-1")
    assert cluster.status("stops-1") is JobStatus.CANCELLED
    _until(lambda: not psutil.pid_exists(json.loads((tmp_path / "out.json").read_text())[0]))


def test_an_unknown_job_is_not_found(cluster: Cluster) -> None:
    with pytest.raises(NotFound):
        cluster.status("never-1")


def test_a_job_sees_nothing_of_the_agents_environment(
    cluster: Cluster, spec: Callable[[str], Path], tmp_path: Path
) -> None:
    """The cluster was opened with it (see `secret`), and the job must not have it."""
    assert os.environ["KHATIM_AGENT_SECRET"] == "of the agent"
    cluster.submit("blind-1", JOBS, spec("environment"))
    assert _end_of(cluster, "blind-1") is JobStatus.SUCCEEDED
    seen = json.loads((tmp_path / "out.json").read_text())
    assert not [name for name in seen if name.startswith("KHATIM")]
    assert seen["PYTHONPATH"] == str(CHECKOUT)


@pytest.fixture(scope="module", autouse=True)
def secret() -> Iterator[None]:
    os.environ["KHATIM_AGENT_SECRET"] = "of the agent"
    yield
    del os.environ["KHATIM_AGENT_SECRET"]


# --- a whole job ---


def test_a_lost_lease_cancels_the_job_and_leaves_no_process(spec: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    outcome = run_local_job(
        "job-1", JOBS, spec("sleep"), tmp_path, cpus=1, timeout_s=60, heartbeat=lambda: not out.exists()
    )
    assert outcome.status is JobStatus.CANCELLED
    assert not [pid for pid in json.loads(out.read_text()) if psutil.pid_exists(pid)]


def test_a_job_that_takes_too_long_is_ended(spec: Callable[[str], Path], tmp_path: Path) -> None:
    outcome = run_local_job("job-1", JOBS, spec("sleep"), tmp_path, cpus=1, timeout_s=1.5, heartbeat=lambda: True)
    assert outcome.status is JobStatus.TIMED_OUT
    assert outcome.seconds < 20


def test_a_heartbeat_that_raises_ends_the_job_and_goes_on(spec: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out.json"

    def heartbeat() -> bool:
        if out.exists() and out.read_text():
            raise Unavailable("The registry does not answer.")
        return True

    with pytest.raises(Unavailable, match="registry"):
        run_local_job("job-1", JOBS, spec("sleep"), tmp_path, cpus=1, timeout_s=60, heartbeat=heartbeat)
    assert not [pid for pid in json.loads(out.read_text()) if psutil.pid_exists(pid)]


def test_when_the_agent_is_killed_nothing_of_the_job_is_left(spec: Callable[[str], Path], tmp_path: Path) -> None:
    agent = (
        "from pathlib import Path; import sys; from runners.zone.local_process import run_local_job\n"
        f"run_local_job('job-1', {JOBS!r}, Path(sys.argv[1]), Path(sys.argv[2]), cpus=1, timeout_s=60,"
        " heartbeat=lambda: True)"
    )
    out = tmp_path / "out.json"
    process = subprocess.Popen([sys.executable, "-c", agent, str(spec("sleep")), str(tmp_path)], cwd=CHECKOUT)
    _until(lambda: out.exists() and bool(out.read_text()))
    pids = json.loads(out.read_text())
    assert all(psutil.pid_exists(pid) for pid in pids)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_a_cluster_that_is_given_up_while_it_starts_is_not_an_error(tmp_path: Path) -> None:
    def never(workdir: Path, *, cpus: int, alive: Callable[[], bool]) -> None:
        assert not alive()

    lost = run_job(never, "job-1", JOBS, tmp_path, tmp_path, cpus=1, timeout_s=60, heartbeat=lambda: False)
    late = run_job(never, "job-1", JOBS, tmp_path, tmp_path, cpus=1, timeout_s=0, heartbeat=lambda: True)
    assert (lost.status, late.status) == (JobStatus.CANCELLED, JobStatus.TIMED_OUT)


def test_the_training_runs_as_a_process(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(breast_cancer.spec(tmp_path).to_json())
    outcome = run_local_job(
        "job-1", "runners.zone.trainer", tmp_path / "spec.json", tmp_path, cpus=1, timeout_s=120, heartbeat=lambda: True
    )
    assert outcome.status is JobStatus.SUCCEEDED, outcome.logs
    assert json.loads((tmp_path / "out" / "training.json").read_text())["ran_on"] == "process"


def test_ports_are_free_and_outside_those_of_rays_workers() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not set(ports) & set(range(10002, 20000))


# --- real Ray ---


class Watched:
    """The warden that this process starts next, and every process that was ever seen below it."""

    def __init__(self) -> None:
        self._before = {child.pid for child in psutil.Process().children()}
        self.wardens: dict[int, Path] = {}
        self._seen: set[psutil.Process] = set()

    def look(self) -> list[psutil.Process]:
        found = []
        for child in psutil.Process().children():
            if child.pid not in self._before:
                words = child.cmdline()
                if "--" in words:
                    self.wardens[child.pid] = Path(words[words.index("--") - 1])
                found += [child, *child.children(recursive=True)]
        self._seen.update(found)
        return found

    def is_gone(self) -> bool:
        """Whether all of it has ended, folder too, and nothing that was here before."""
        left = [process for process in self._seen if process.is_running()]
        folders = [folder for folder in self.wardens.values() if folder.exists()]
        others = {child.pid for child in psutil.Process().children()}
        return bool(self._seen) and not left and not folders and others == self._before


def _sockets_of(processes: list[psutil.Process]) -> list[tuple[str, int]]:
    found = []
    for process in processes:
        try:
            listening = [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        except psutil.Error:
            continue  # it ended meanwhile
        found += [(c.laddr.ip.removeprefix("::ffff:"), c.laddr.port) for c in listening]
    return found


@pytest.mark.slow
def test_the_training_runs_as_a_ray_job_on_loopback_behind_a_token(tmp_path: Path) -> None:
    """One real cluster, looked at from outside while it works, and gone without a trace."""
    (tmp_path / "spec.json").write_text(breast_cancer.spec(tmp_path).to_json())
    sockets: set[tuple[str, int]] = set()
    refused: set[int] = set()
    told: set[int] = set()
    watched = Watched()
    beats = itertools.count()

    def heartbeat() -> bool:
        if next(beats) % 10:
            return True
        sockets.update(_sockets_of(watched.look()))
        for port in {port for _, port in sockets} - refused - told:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/api/jobs/", timeout=5)
            except httpx.HTTPError:
                continue  # gRPC, or not open yet
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                refused.add(port)
            elif answer.is_success and not answer.text.startswith("#"):  # "# HELP": counters for Prometheus
                told.add(port)
        return True

    outcome = run_ray_job(
        "job-7", "runners.zone.trainer", tmp_path / "spec.json", tmp_path, cpus=2, timeout_s=240, heartbeat=heartbeat
    )
    assert outcome.status is JobStatus.SUCCEEDED, outcome.logs
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["ran_on"] == "ray"
    assert record["libraries"]["ray"]
    assert len(sockets) >= 4
    assert {ip for ip, _ in sockets} == {"127.0.0.1"}
    assert 10001 not in {port for _, port in sockets}  # Ray Client
    assert refused
    assert not told
    assert len(watched.wardens) == 1
    assert watched.is_gone()


@pytest.mark.slow
def test_a_lease_lost_while_ray_starts_ends_the_start(tmp_path: Path) -> None:
    watched = Watched()
    began = time.monotonic()
    outcome = run_ray_job(
        "job-8", JOBS, tmp_path / "no", tmp_path, cpus=1, timeout_s=60, heartbeat=lambda: len(watched.look()) < 3
    )
    assert outcome.status is JobStatus.CANCELLED
    assert time.monotonic() - began < 30
    assert watched.is_gone()


@pytest.mark.slow
def test_ray_that_cannot_start_is_unavailable_and_says_why(tmp_path: Path) -> None:
    watched = Watched()
    with pytest.raises(Unavailable, match="did not start") as refused:
        RayHead.open(tmp_path, cpus=-1, alive=lambda: bool(watched.look()), attempts=1)
    assert refused.value.members["logs"]
    assert watched.is_gone()


def test_the_door_to_ray_does_not_load_ray() -> None:
    code = f"import sys, {ray_door.__name__}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=False).returncode == 0
