"""Pictures that a simulated camera takes: a sky that changes with time, and a line of text."""

import io
import math
import random

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 640, 480


def jpeg(seed: int, device: str, number: int, quality: int = 85) -> bytes:
    """The picture `number` of a device: the same bytes for the same arguments, about 45 kB."""
    noise = random.Random(f"{seed}/{device}/{number}")
    level = 0.5 + 0.4 * math.sin(number / 7)
    small = Image.new("RGB", (WIDTH // 4, HEIGHT // 4))
    small.putdata([_pixel(index, level, noise) for index in range(small.width * small.height)])
    picture = small.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, int(HEIGHT * level), WIDTH, HEIGHT), outline=(240, 240, 255), width=3)
    draw.text((12, 12), f"{device}  #{number}  SIMULATED", fill=(255, 255, 0))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _pixel(index: int, level: float, noise: random.Random) -> tuple[int, int, int]:
    """Grey sky above the water level, brown water below it."""
    row = index // (WIDTH // 4) / (HEIGHT // 4)
    grain = noise.randrange(24)
    if row < level:
        return (110 + grain, 140 + grain, int(170 + 60 * row) + grain // 2)
    return (95 + grain, 80 + grain, 50 + grain // 2)
