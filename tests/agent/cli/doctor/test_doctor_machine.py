"""The groups `machine` and `clock` on trees of /sys and /proc as Linux documents them."""

from pathlib import Path

import pytest
from agent_config import HEAD, METER

from agent.cli.doctor.clock import battery
from agent.cli.doctor.finding import Finding
from agent.cli.doctor.machine import card, disk, heat, memory
from agent.cli.doctor.machine.roots import Roots
from agent.configuration import load_configuration
from agent.settings import Settings

MEMINFO = "MemTotal:         945512 kB\nMemFree:           61280 kB\nMemAvailable:     {free} kB\nBuffers: 1 kB\n"
MOUNTS = (
    "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n"
    "25 22 0:22 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=189104k,mode=755"
)
DMESG = """\
[    1.512] mmc0: new high speed SDXC card at address aaaa
[ 8123.411] mmc0: error -110 whilst initialising SD card
[ 8123.412] I/O error, dev mmcblk0, sector 2123784 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2
[ 8123.413] EXT4-fs error (device mmcblk0p2): ext4_find_entry:1683: inode #1571: comm python3: reading directory lblock 0
"""


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path / "sys", tmp_path / "proc")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "agent.toml"
    path.write_text(HEAD + METER, encoding="utf-8")
    return load_configuration(path).settings


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def codes(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.check, one.state, one.code) for one in found]


def test_a_board_that_tells_nothing_is_nothing_to_complain_of(roots: Roots) -> None:
    assert [*memory.examined(roots), *heat.examined(roots)] == []


@pytest.mark.parametrize(
    ("free", "load", "expected"),
    [
        (500_000, "0.20 0.15 0.10 1/90 777", [("memory", "ok", ""), ("processor", "ok", "")]),
        (40_000, "0.20 0.15 0.10 1/90 777", [("memory", "fail", "memory_low"), ("processor", "ok", "")]),
        (500_000, "1.0 999.0 9.0 1/90 777", [("memory", "ok", ""), ("processor", "warn", "processor_busy")]),
    ],
)
def test_memory_and_load(roots: Roots, free: int, load: str, expected: list[tuple[str, str, str]]) -> None:
    write(roots.proc / "meminfo", MEMINFO.format(free=free))
    write(roots.proc / "loadavg", load)
    assert codes(list(memory.examined(roots))) == expected


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("0", [("power", "ok", "")]),
        ("50000", [("power", "warn", "under_voltage_before"), ("throttling", "warn", "throttled_before")]),
        ("50005", [("power", "fail", "under_voltage"), ("throttling", "warn", "throttled")]),
        ("80008", [("throttling", "warn", "throttled")]),
    ],
)
def test_what_the_firmware_of_a_raspberry_pi_has_seen(
    roots: Roots, bits: str, expected: list[tuple[str, str, str]]
) -> None:
    write(roots.sys / heat.THROTTLED, bits)
    assert codes(list(heat.examined(roots))) == expected


@pytest.mark.parametrize(("alarm", "expected"), [("0", ("ok", "")), ("1", ("fail", "under_voltage"))])
def test_newer_kernels_tell_of_the_voltage_by_hwmon(roots: Roots, alarm: str, expected: tuple[str, str]) -> None:
    write(roots.sys / "class/hwmon/hwmon0/name", "cpu_thermal")
    write(roots.sys / "class/hwmon/hwmon1/name", "rpi_volt")
    write(roots.sys / "class/hwmon/hwmon1/in0_lcrit_alarm", alarm)
    assert codes(list(heat.examined(roots))) == [("power", *expected)]


@pytest.mark.parametrize(
    ("milli", "expected"), [("48312", ("ok", "")), ("76500", ("warn", "hot")), ("85900", ("fail", "too_hot"))]
)
def test_the_hottest_zone_counts(roots: Roots, milli: str, expected: tuple[str, str]) -> None:
    write(roots.sys / "class/thermal/thermal_zone0/temp", "20000")
    write(roots.sys / "class/thermal/thermal_zone1/temp", milli)
    assert codes(list(heat.examined(roots))) == [("temperature", *expected)]


@pytest.mark.parametrize(
    ("life", "reserve", "expected"),
    [
        ("0x01 0x02", "0x01", ("ok", "")),
        ("0x02 0x09", "0x01", ("warn", "card_wears")),
        ("0x02 0x02", "0x02", ("warn", "card_wears")),
        ("0x02 0x02", "0x03", ("fail", "card_worn")),
        ("0x0b 0x01", "0x01", ("fail", "card_worn")),
        ("0x00 0x00", "0x00", ("ok", "")),
    ],
)
def test_an_emmc_tells_how_worn_it_is(tmp_path: Path, life: str, reserve: str, expected: tuple[str, str]) -> None:
    device = tmp_path / "mmcblk0/device"
    write(device / "type", "MMC")
    write(device / "name", "8GTF4R")
    write(device / "life_time", life)
    write(device / "pre_eol_info", reserve)
    (tmp_path / "mmcblk0/mmcblk0p2").mkdir()
    assert codes(list(card.wear(tmp_path / "mmcblk0/mmcblk0p2"))) == [("wear", *expected)]


def test_an_sd_card_does_not_tell_and_another_disk_is_not_asked(tmp_path: Path) -> None:
    write(tmp_path / "mmcblk0/device/type", "SD")
    (found,) = card.wear(tmp_path / "mmcblk0")
    assert found.state == "ok"
    assert "does not tell" in found.what
    write(tmp_path / "sda/device/type", "0")
    assert list(card.wear(tmp_path / "sda")) == []


def test_errors_that_the_file_system_or_the_kernel_has_met(roots: Roots) -> None:
    assert list(card.file_system_errors("mmcblk0p2", roots)) == []
    write(roots.sys / "fs/ext4/mmcblk0p2/errors_count", "0")
    assert codes(list(card.file_system_errors("mmcblk0p2", roots))) == [("file_system", "ok", "")]
    write(roots.sys / "fs/ext4/mmcblk0p2/errors_count", "3")
    assert codes(list(card.file_system_errors("mmcblk0p2", roots))) == [("file_system", "fail", "file_system_errors")]
    assert list(card.kernel_errors(DMESG.splitlines()[0])) == []
    (found,) = card.kernel_errors(DMESG)
    assert "3 errors" in found.what
    assert "ext4_find_entry" in found.what


def test_the_folders_of_the_agent(
    settings: Settings, roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(roots.proc / "self/mountinfo", MOUNTS)
    found = {one.check: one for one in disk.examined(settings, roots)}
    assert found["journal"].code == "no_ram_disk"
    assert found["room"].subject == str(tmp_path)  # the folder itself is made by the agent
    write(roots.proc / "self/mountinfo", MOUNTS.replace(" /run ", f" {tmp_path} "))
    assert {one.check: one for one in disk.examined(settings, roots)}["journal"].state == "ok"

    def full(path: Path) -> object:
        class Full:
            f_bavail, f_frsize, f_flag, f_files, f_favail = 10, 4096, 1, 1_000_000, 7

        return Full

    monkeypatch.setattr(disk.os, "statvfs", full)
    assert [one.code for one in disk.examined(settings, roots)] == ["read_only", "disk_full", "no_inodes", ""]


def test_room_for_less_than_the_outbox_may_take_is_a_warning(
    settings: Settings, roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(roots.proc / "self/mountinfo", MOUNTS)
    monkeypatch.setattr(disk, "LEAST_BYTES", 0)

    class Small:
        f_bavail, f_frsize, f_flag, f_files, f_favail = 200_000, 4096, 0, 0, 0

    monkeypatch.setattr(disk.os, "statvfs", lambda path: Small)
    assert [one.code for one in disk.examined(settings, roots)][:1] == ["disk_small"]


def test_a_clock_that_goes_on_without_power(roots: Roots) -> None:
    assert battery(roots.sys).code == "no_rtc"
    write(roots.sys / "class/rtc/rtc0/name", "rtc-ds1307 1-0068")
    assert battery(roots.sys).state == "ok"
    assert "rtc-ds1307" in battery(roots.sys).what
