"""A gateway can have as much of a core as a small board has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gateways.boards import BOARDS, Board, here_s
from gateways.quota import Unlimited, limited
from gateways.recorder import Work
from gateways.subjects import SUBJECTS, OnBoard, Site
from gateways.subjects.api import Launch
from gateways.subjects.collectd import Collectd


def test_a_board_has_the_share_that_the_benchmark_says_and_never_more_than_a_core() -> None:
    board = Board("board", "core", rounds_s=80.0)
    assert board.share(here_s=8.0) == 0.1
    assert board.share(here_s=100.0) == 1.0


def test_boards_with_one_core_differ_by_their_clocks() -> None:
    assert BOARDS["zero2"].rounds_s / BOARDS["3"].rounds_s == pytest.approx(1.4)
    assert BOARDS["4"].rounds_s < BOARDS["3"].rounds_s


def test_the_benchmark_is_scaled_to_the_rounds_of_the_list() -> None:
    assert 0.5 < here_s(Path(sys.executable), rounds=1, runs=3) < 1_000


def test_a_share_that_the_kernel_does_not_give_is_refused() -> None:
    with pytest.raises(Unlimited, match="the kernel takes"), limited(0.01, "test"):
        pass


def test_a_group_holds_what_goes_into_it_and_is_gone_afterwards() -> None:
    try:
        with limited(0.2, "test") as procs:
            group = procs.parent
            limits = [(group / name).read_text().split()[0] for name in QUOTAS if (group / name).exists()]
            with subprocess.Popen(["sh", "-c", f"echo $$ > {procs} && exec cat"], stdin=subprocess.PIPE) as process:
                while str(process.pid) not in procs.read_text().split():
                    assert process.poll() is None
                assert process.stdin
                process.stdin.close()
            assert limits == ["4000"]
    except Unlimited as err:
        pytest.skip(str(err))
    assert not group.exists()


QUOTAS = ("cpu.max", "cpu.cfs_quota_us")


class Echo(Collectd):
    def configure(self, site: Site) -> Launch:
        return Launch(["sh", "-c", 'echo "$$ $WORD"', "with blanks"], {"WORD": "x"})


def test_a_gateway_on_a_board_goes_into_the_group_and_keeps_its_process(tmp_path: Path) -> None:
    launch = OnBoard(Echo(), "Pi", tmp_path / "procs").configure(Site(Work(), [], 0, tmp_path, tmp_path))
    environment = {**os.environ, **launch.environment}
    process = subprocess.Popen(launch.command, env=environment, stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=20)
    assert said.split() == [str(process.pid), "x"]
    assert (tmp_path / "procs").read_text().split() == [str(process.pid)]


def test_a_gateway_on_a_board_counts_as_the_gateway_that_it_is() -> None:
    limited_agent = OnBoard(SUBJECTS["oc-agent"], "Pi 4B", Path("/nowhere"))
    assert limited_agent.name == "oc-agent, Pi 4B"
    assert limited_agent.keeps
    assert not limited_agent.variant
