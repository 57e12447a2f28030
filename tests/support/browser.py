"""Headless Chromium, where one is installed: pages as a reader sees them."""

import shutil
import struct
import subprocess
import zlib

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason=f"no Chromium on PATH ({', '.join(NAMES)})")
# Blink's own numbers of the colour schemes.
SCHEMES = {"dark": 0, "light": 1}


def _run(page, *options):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", "--virtual-time-budget=2000", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    said = done.stderr.decode()
    assert "CONSOLE" not in said, said   # errors, warnings, and requests that were refused
    return done.stdout.decode()


def screenshot(page, file, width, height, scheme="light"):
    """Rows of (red, green, blue) of the page in a window of this size."""
    _run(page, f"--window-size={width},{height}", f"--screenshot={file}",
         f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}")
    return read_png(file.read_bytes())


def measured(page, script, width):
    """What ``script`` writes into the title of a copy of the page that is ``width`` wide."""
    copy = page.with_name(f"measured-{width}.html")
    copy.write_text(page.read_text(encoding="utf-8").replace(
        "</body>", f"<script>document.title = {script}</script></body>"), encoding="utf-8")
    dom = _run(copy, f"--window-size={width},800", "--dump-dom")
    return dom.partition("<title>")[2].partition("</title>")[0]


def pdf(page, file):
    """The page as it prints."""
    _run(page, f"--print-to-pdf={file}", "--no-pdf-header-footer")
    return file.read_bytes()


def read_png(data):
    """Rows of (red, green, blue) of an 8-bit RGB or RGBA image."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, packed = 8, b""
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8:place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
        packed += body if kind == b"IDAT" else b""
        place += 12 + length
    size = {2: 3, 6: 4}[colour]
    assert depth == 8
    raw, rows, above = zlib.decompress(packed), [], bytes(width * size)
    for row in range(height):
        line = bytearray(raw[row * (width * size + 1):(row + 1) * (width * size + 1)])
        above = _unfiltered(line[0], line[1:], above, size)
        rows.append([tuple(above[at:at + 3]) for at in range(0, len(above), size)])
    return rows


def _unfiltered(kind, line, above, size):
    """A row's bytes, of the filters of PNG (section 9)."""
    for at in range(len(line)):
        left = line[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        up = above[at]
        if kind == 4:
            guess = left + up - corner
            best = min((abs(guess - left), 0, left), (abs(guess - up), 1, up),
                       (abs(guess - corner), 2, corner))[2]
        else:
            best = (0, left, up, (left + up) // 2)[kind]
        line[at] = (line[at] + best) & 255
    return bytes(line)
