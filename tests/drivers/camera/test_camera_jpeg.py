"""A JPEG counts only where it is whole."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drivers.camera import jpeg
from simulators.camera.picture import jpeg as picture

GOOD = picture(1, "cam", 1)


def made(**keys: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 40), 50).save(out, "JPEG", **keys)
    return out.getvalue()


@pytest.mark.parametrize("keys", [{}, {"progressive": True}, {"quality": 5}, {"restart_marker_rows": 1}])
def test_a_whole_picture_is_taken_as_it_is(keys: dict[str, object]) -> None:
    data = made(**keys)
    assert jpeg.whole(data) == (data, jpeg.Size(64, 40))


def test_what_a_camera_fills_up_behind_a_picture_is_cut_off() -> None:
    assert jpeg.whole(GOOD + bytes(37))[0] == GOOD


@given(at=st.integers(0, len(GOOD) - 1))
@settings(max_examples=300, deadline=None)
def test_a_picture_that_was_cut_off_is_refused(at: int) -> None:
    with pytest.raises(jpeg.NoPicture):
        jpeg.whole(GOOD[:at])


@given(data=st.binary(max_size=300), head=st.booleans())
@settings(max_examples=300, deadline=None)
def test_anything_else_is_refused_and_nothing_else_is_raised(data: bytes, head: bool) -> None:
    with pytest.raises(jpeg.NoPicture):
        jpeg.whole((b"\xff\xd8" if head else b"") + data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xd8\xff\xd9", "before its scan"),
        (b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "no frame header"),
        (b"\xff\xd8\xff\xe0\x00\x99\x00", "goes past the end"),
        (b"\xff\xd8\x00\x00", "no marker"),
        (b"<html>", "begins with"),
    ],
)
def test_it_is_said_what_is_wrong(data: bytes, why: str) -> None:
    with pytest.raises(jpeg.NoPicture, match=why):
        jpeg.whole(data)
