"""Damage: what becomes of files on broken disks, in broken transfers, and in hostile hands."""

import gzip
import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from copy import deepcopy
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 10**9, 10**400, -(10**9), 0.5, 1e308, float("nan"),
    float("inf"), "", "x" * 5000, "../../../../etc/passwd", "/etc/passwd", "/dev/zero", "\0",
    "\ud800", "%s%n", "1e9", [], {}, [0], {"": {}}, ["a"] * 1000,
)  # fmt: skip
NUMBERS = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x3b\x9a\xca\0",
)
DEEP = 3000


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The bytes after one to four mishaps."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(found) + 1)
        if rng.random() < 0.5:  # headers matter most
            at = min(at, rng.randrange(64))
        length = rng.choice((1, 1, 2, 4, 16, 256))
        match rng.randrange(8):
            case 0 if found:
                found[at % len(found)] ^= 1 << rng.randrange(8)
            case 1:
                found[at : at + length] = rng.randbytes(length)
            case 2:
                del found[at:]
            case 3:
                del found[at : at + length]
            case 4:
                found[at:at] = found[at : at + length] or rng.randbytes(length)
            case 5:
                found[at : at + 4] = rng.choice(NUMBERS)
            case 6:
                found[at:at] = rng.randbytes(length)
            case 7:
                found[at : at + length] = bytes(length)
    return bytes(found)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in list(items):
        found.append((value, key))
        if isinstance(one, dict | list):
            found += _places(one)
    return found


def damaged_json(content: bytes, rng: random.Random) -> bytes:
    """JSON with one to three values that cannot be; now and then damaged bytes, or a deep nest."""
    if rng.random() < 0.2:
        return damaged(content, rng)
    if rng.random() < 0.02:
        return b"[" * DEEP + b"]" * DEEP
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(value) if isinstance(value, dict | list) else []
        if not places or rng.random() < 0.03:
            value = deepcopy(rng.choice(VALUES))
            continue
        inside, key = rng.choice(places)
        if rng.random() < 0.15:
            del inside[key]
        elif rng.random() < 0.1 and isinstance(inside, dict):
            inside[f"{key}x"] = inside.pop(key)
        else:
            inside[key] = deepcopy(rng.choice(VALUES))
    return json.dumps(value).encode()


def damaged_lines(content: bytes, rng: random.Random) -> bytes:
    """JSON lines of which one is damaged, repeated, lost, or put elsewhere."""
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            return damaged(content, rng)
        case 1:
            lines[at] = lines[at][: rng.randrange(len(lines[at]))]
        case 2:
            lines.insert(rng.randrange(len(lines)), lines[at])
        case 3:
            del lines[at]
        case 4:
            lines[at] = damaged_json(lines[at], rng) + b"\n"
    return b"".join(lines)


def damaged_png(content: bytes, rng: random.Random) -> bytes:
    """A PNG that is damaged; or one of its chunks is, or the pixels within, and all sums fit."""
    if rng.random() < 0.4:
        return damaged(content, rng)
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    chosen = rng.randrange(len(chunks))
    name, held = chunks[chosen]
    if name == b"IDAT" and rng.random() < 0.5:
        held = zlib.compress(damaged(zlib.decompress(held), rng))
    else:
        held = damaged(held, rng)
    if rng.random() < 0.1:
        name = rng.choice([b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"acTL", b"fdAT"])
    chunks[chosen] = name, held
    parts = (struct.pack(">I", len(h)) + n + h + _crc(n + h) for n, h in chunks)
    return content[:8] + b"".join(parts)


def _crc(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


def damaged_gzip(content: bytes, rng: random.Random) -> bytes:
    """A gzip file that is damaged; or what is in it is, and the sums fit."""
    if rng.random() < 0.4:
        return damaged(content, rng)
    return gzip.compress(damaged(gzip.decompress(content), rng))


def damaged_zip(content: bytes, rng: random.Random) -> bytes:
    """An archive that is damaged; or a file in it is, and the sums fit."""
    if rng.random() < 0.4:
        return damaged(content, rng)
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as whole,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in whole.namelist():
            made.writestr(name, damaged(whole.read(name), rng))
    return stream.getvalue()


def damaged_tensors(content: bytes, rng: random.Random) -> bytes:
    """A safetensors file that is damaged; or its header is, or the facts in it, whose sum fits."""
    if rng.random() < 0.4:
        return damaged(content, rng)
    end = 8 + int.from_bytes(content[:8], "little")
    head = content[8:end]
    if rng.random() < 0.3:
        head = damaged_json(head, rng)
    else:
        read = json.loads(head)
        facts = damaged_json(read["__metadata__"]["facts"].encode(), rng).decode("utf-8", "replace")
        read["__metadata__"]["facts"] = facts
        read["__metadata__"]["facts_sha256"] = hashlib.sha256(facts.encode()).hexdigest()
        head = json.dumps(read).encode()
    return len(head).to_bytes(8, "little") + head + content[end:]
