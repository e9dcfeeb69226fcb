"""What can go wrong on the way to the IOC."""

from agent.uplink.errors import UplinkRefused


def _refused() -> UplinkRefused:
    try:
        int("no")
    except ValueError as err:
        raise UplinkRefused("no", 0x87) from err
    raise AssertionError


def test_a_reason_that_is_remembered_holds_no_frames() -> None:
    try:
        down = _refused()
    except UplinkRefused as err:
        down = err
    assert down.__traceback__ is not None
    assert down.__cause__ is not None
    bare = down.bare()
    assert bare is down
    assert (bare.__traceback__, bare.__cause__, bare.__context__) == (None, None, None)
    assert (bare.reason, bare.code) == ("no", 0x87)
