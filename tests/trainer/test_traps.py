"""Small files that claim to be large: refused by their claims, before anything is decoded."""

import base64
import gzip
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, features

from trainer.data import load
from trainer.data.idx import read_idx
from trainer.data.pictures import EACH, FREE, is_deep, read_image
from trainer.data.samples import load_samples
from trainer.picture import HELD, held, png_of
from trainer.problems import Problem


def saved(form: str, size: tuple[int, int], mode: str = "RGB", **options) -> bytes:
    """A picture of one colour, which formats can say in a few bytes."""
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, form, **options)
    return stream.getvalue()


def canvas(width: int, height: int) -> bytes:
    """A WebP film of 8 x 8 pixels on a canvas of that size."""
    frames = [Image.new("RGBA", (8, 8), (k, 0, 0, 9)) for k in range(2)]
    stream = io.BytesIO()
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    content = bytearray(stream.getvalue())
    content[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(content)


def simple(width: int, height: int, lossless: bool) -> bytes:
    """A WebP of one picture whose own header claims that size."""
    content = bytearray(saved("WEBP", (8, 8), lossless=lossless))
    if lossless:
        content[21:25] = (width - 1 + (height - 1) * 2**14).to_bytes(4, "little")
    else:
        content[26:30] = struct.pack("<HH", width, height)
    return bytes(content)


def icon(inner: bytes) -> bytes:
    """An icon of 16 x 16 pixels by its list, and of another size by the PNG in it."""
    return struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def claims(content: bytes, at: int, form: str, *values: int) -> bytes:
    found = bytearray(content)
    struct.pack_into(form, found, at, *values)
    return bytes(found)


TRAPS = {
    "film.webp": lambda: canvas(16_383, 16_383),
    "film-9400.webp": lambda: canvas(9400, 9400),
    "lossy.webp": lambda: simple(9000, 9000, False),
    "lossless.webp": lambda: simple(9000, 9000, True),
    "flat.webp": lambda: saved("WEBP", (4000, 4000), lossless=True),
    "a.gif": lambda: claims(saved("GIF", (8, 8), "P"), 6, "<HH", 9000, 9000),
    "a.bmp": lambda: claims(saved("BMP", (8, 8)), 18, "<ii", 9000, 9000),
    "a.png": lambda: saved("PNG", (4000, 4000), "P", transparency=0),
    "deep.png": lambda: saved("PNG", (4000, 4000), "I;16"),
    "a.jp2": lambda: saved("JPEG2000", (4000, 4000)),
    "a.tif": lambda: saved("TIFF", (5000, 5000), "1", compression="group4"),
    "a.ico": lambda: icon(saved("PNG", (4000, 4000), "LA")),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_small_file_that_claims_to_be_a_large_picture_is_refused(tmp_path, name):
    if name.endswith("jp2") and not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    path = tmp_path / name
    content = TRAPS[name]()
    path.write_bytes(content)
    assert len(content) < FREE / EACH * 10
    for read in (path, io.BytesIO(content)):
        with pytest.raises(Problem, match=r"it claims [\d,]+ x [\d,]+ pixels, and has [\d,]+ byt"):
            read_image(read, 8)
    assert is_deep(path)  # so that it is read, and said
    (tmp_path / "b.png").write_bytes(saved("PNG", (8, 8)))
    with pytest.raises(Problem, match=rf"{name} is not .*it claims"):
        load(f"{tmp_path}:8")
    with pytest.raises(Problem, match="it claims"):
        load_samples(path, (1, 8, 8))


@pytest.mark.parametrize(
    ("form", "size", "mode", "options"),
    [
        ("PNG", (3840, 2160), "L", {}),
        ("PNG", (3840, 2160), "RGB", {"optimize": True}),  # a black frame of a film
        ("PNG", (3840, 2160), "RGBA", {"optimize": True}),
        ("PNG", (4096, 4096), "1", {}),
        ("PNG", (1920, 1080), "I;16", {}),
        ("JPEG", (3840, 2160), "RGB", {"optimize": True}),
        ("TIFF", (4000, 4000), "1", {"compression": "group4"}),
        ("GIF", (2000, 2000), "P", {}),
        ("WEBP", (2048, 2048), "RGB", {}),
    ],
)
def test_honest_pictures_of_one_colour_are_read(form, size, mode, options):
    seen = read_image(io.BytesIO(saved(form, size, mode, **options)), 8)
    assert seen.max() == seen.min()


def test_a_zipped_set_is_unpacked_as_far_as_its_header_promises(tmp_path):
    header = b"\0\0\x08\x01" + struct.pack(">i", 1000)
    path = tmp_path / "labels.gz"
    for extra, said in ((0, None), (1, "holds more"), (2**27, "holds more"), (-1, "holds 999")):
        packed = zlib.compressobj(9, zlib.DEFLATED, 31)
        zeros = bytes(2**20)
        content = packed.compress(header + bytes(min(1000, 1000 + extra)))
        for _ in range(max(extra, 0) // 2**20):
            content += packed.compress(zeros)
        path.write_bytes(content + packed.compress(bytes(max(extra, 0) % 2**20)) + packed.flush())
        tracemalloc.start()
        try:
            if said is None:
                assert np.array_equal(read_idx(path), np.zeros(1000))
            else:
                with pytest.raises(Problem, match=said):
                    read_idx(path)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()
    path.write_bytes(gzip.compress(b"\0\0\x08\x02" + struct.pack(">ii", 2**30, 2**30)))
    with pytest.raises(Problem, match="promises 1,152,921,504,606,846,976 bytes"):
        read_idx(path)


def test_settings_hold_no_picture_larger_than_any_that_is_kept():
    assert png_of(held(np.zeros((192, 192), np.uint8), "largest"))
    letters = held(np.zeros((4, 4), np.uint8), "x").partition(",")[2]
    for size in ((5000, 4), (4, 5000)):
        content = claims(base64.b64decode(letters), 16, ">II", *size)
        with pytest.raises(Problem, match="damaged"):
            png_of(f"{HELD};base64,{base64.b64encode(content).decode()}")


def test_a_colour_profile_that_is_cut_short_is_a_problem():
    """Pillow asks for a byte that is not there."""
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    content = stream.getvalue()
    profile = b"iCCPname\0"
    chunk = struct.pack(">I", 5) + profile + struct.pack(">I", zlib.crc32(profile))
    for at in (33, content.index(b"IEND") - 4):
        with pytest.raises(Problem, match="not an image that can be read"):
            read_image(io.BytesIO(content[:at] + chunk + content[at:]), 8)
