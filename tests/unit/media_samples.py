"""Files of every type, generated; the repo contains no real photos."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image, PngImagePlugin

#: What must not survive in a stored photo.
SECRETS = (b"Someone's Camera", b"GPS-SECRET", b"Owner Name")


def picture(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A picture with different corners, so that rotation can be detected."""
    image = Image.new("RGB", (width, height), (20, 90, 200))
    image.paste((220, 30, 30), (0, 0, width // 2, height // 2))
    image.paste((240, 240, 40), (width // 2, height // 2, width, height))
    return image.convert(mode)


def exif(orientation: int = 1) -> Image.Exif:
    """Exif as a phone writes it: place, time, camera, owner."""
    data = Image.Exif()
    data[0x0112] = orientation
    data[0x010F] = "Someone's Camera"
    data[0x013B] = "Owner Name"
    data[0x0132] = "2026:11:21 18:37:00"
    gps = data.get_ifd(0x8825)
    gps[1], gps[2] = "N", (48.0, 51.0, 29.0)
    gps[3], gps[4] = "E", (2.0, 17.0, 40.0)
    gps[29] = "GPS-SECRET"
    return data


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The picture as a file."""
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def jpeg(width: int = 60, height: int = 40, **options: Any) -> bytes:
    """A JPEG; ``exif=`` and the like as Pillow has them."""
    return encoded(picture(width, height), "JPEG", **options)


def png_with_text() -> bytes:
    """A PNG with text chunks as image editors write them."""
    told = PngImagePlugin.PngInfo()
    told.add_text("Author", "Owner Name")
    told.add_itxt("XML:com.adobe.xmp", "<x>GPS-SECRET</x>")
    return encoded(picture(), "PNG", pnginfo=told, exif=exif())


def moving(form: str) -> bytes:
    """An animation of three frames."""
    frames = [picture(), picture().rotate(90, expand=False), picture().rotate(180)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=80, loop=0)


def box(name: bytes, *content: bytes) -> bytes:
    """A box of an ISO base media file."""
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def shown(offset: int, size: int) -> bytes:
    """The part of a track that says that its only sample is a picture, and where it is."""
    one = bytes(7) + b"\1"
    table = box(
        b"stbl",
        box(b"stsc", one, struct.pack(">III", 1, 1, 1)),
        box(b"stsz", bytes(4), struct.pack(">II", size, 1)),
        box(b"stco", one, struct.pack(">I", offset)),
    )
    return box(b"mdia", box(b"hdlr", bytes(8), b"vide", bytes(13)), box(b"minf", table))


def film(brand: bytes = b"isom") -> bytes:
    """An MP4 as a phone writes it: place in ``udta``, owner in a ``uuid`` box with XMP."""
    return b"".join(
        (
            box(b"ftyp", brand, b"\0\0\2\0", brand, b"mp42"),
            box(b"mdat", b"samples" * 10),
            box(
                b"moov",
                box(b"mvhd", bytes(100)),
                box(b"trak", box(b"tkhd", bytes(84)), shown(32, 70), box(b"udta", b"Owner Name")),
                box(b"udta", box(b"\xa9xyz", b"GPS-SECRET+48.8577+002.295/")),
                box(b"meta", b"Someone's Camera"),
            ),
            box(b"uuid", bytes(16), b"<xmp>Owner Name</xmp>"),
        )
    )


OTHER_KINDS = {
    "id3.mp3": (b"ID3\x04" + bytes(30), "audio/mpeg"),
    "frames.mp3": (b"\xff\xfb\x90\x44" + bytes(413), "audio/mpeg"),
    "slow.mp3": (b"\xff\xf3\x48\xc4" + bytes(413), "audio/mpeg"),
    "sound.m4a": (box(b"ftyp", b"M4A \0\0\0\0M4A mp42isom"), "audio/mp4"),
    "sound.ogg": (b"OggS\0\2" + bytes(22) + b"\1vorbis", "audio/ogg"),
    "sound.opus": (b"OggS\0\2" + bytes(22) + b"OpusHead", "audio/ogg"),
    "film.ogv": (b"OggS\0\2" + bytes(22) + b"\x80theora", "video/ogg"),
    "sound.wav": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(20), "audio/wav"),
    "sound.flac": (b"fLaC\0\0\0\x22" + bytes(34), "audio/flac"),
    "film.webm": (b"\x1a\x45\xdf\xa3\x9fB\x82\x84webm" + bytes(20) + b"V_VP9", "video/webm"),
    "sound.webm": (b"\x1a\x45\xdf\xa3\x9fB\x82\x84webm" + bytes(20) + b"A_OPUS", "audio/webm"),
    "new.mp4": (box(b"ftyp", b"iso5\0\0\0\0iso6mp41"), "video/mp4"),
    "film.mov": (box(b"ftyp", b"qt  \0\0\0\0qt  "), "video/quicktime"),
    "old.mov": (box(b"moov", bytes(100)), "video/quicktime"),
    "paper.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
}

REFUSED = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "svg after a declaration": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "html": b"<!DOCTYPE html><script>alert(1)</script>",
    "html after spaces": b" \n\t<HTML><body onload=alert(1)>",
    "html after a byte order mark": b"\xef\xbb\xbf<html>",
    "javascript": b"alert(document.domain)",
    "shell": b"#!/bin/sh\nrm -rf /",
    "php": b"<?php system($_GET[0]);",
    "windows program": b"MZ\x90\0" + bytes(100),
    "linux program": b"\x7fELF\2\1\1" + bytes(60),
    "zip": b"PK\3\4" + bytes(60),
    "heic": box(b"ftyp", b"heic\0\0\0\0mif1heic"),
    "matroska": b"\x1a\x45\xdf\xa3\x9fB\x82\x88matroska",
    "text": b"only words",
    "zeros": bytes(100),
    "tiff": encoded(picture(), "TIFF"),
}
