"""The view's own files, and one module made of many: a notebook hands the browser one script that can import nothing.

Reads `static/`; imports nothing of ours.
"""

from __future__ import annotations

import base64
import re
import zlib
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"

_IMPORT = re.compile(r'^import\s+\{[^}]*\}\s+from\s+"\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_COMMENT = re.compile(r"^\s*(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/)\n", re.MULTILINE)


@cache
def script(entry: str) -> str:
    """Return `static/<entry>` and all that it imports as one ES module, without comments and indentation.

    The modules share one scope, so each name at their top level must be their own; imports must have the form
    ``import { a, b } from "./file.js";``.
    """
    done: list[str] = []
    parts: list[str] = []

    def take(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"{name}: modules import each other in a ring: {' -> '.join([*path, name])}")
        if name in done:
            return
        source = (STATIC / name).read_text(encoding="utf-8")
        for other in _IMPORT.findall(source):
            take(other, (*path, name))
        done.append(name)
        source = _EXPORT.sub("", _IMPORT.sub("", source))
        source = _COMMENT.sub("", source)
        parts.append(re.sub(r"^[ \t]+", "", source, flags=re.MULTILINE))

    take(entry, ())
    return re.sub(r"\n{2,}", "\n", "".join(parts))


@cache
def packed(entry: str) -> str:
    """Return `script(entry)` as a small module that holds it compressed and hands on its default export.

    Every widget sends its script anew, and a saved notebook keeps it: 40 KB instead of a hundred.
    """
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeeze.compress(script(entry).encode()) + squeeze.flush()
    text = base64.b85encode(data, pad=True).decode()  # a quarter longer than the data; base64 would be a third
    return _LOADER % (text.translate(_NO_MARKUP), len(data))


#: it is embedded in exported pages too: no digit means anything in HTML
_NO_MARKUP = str.maketrans("<>&", ",.:")

_LOADER = """\
// dnsnb's live view, compressed: its source is dnsnb/notebook/static/
const packed = "%s";
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%%:()*+-;,=.?@^_`{|}~";
export default async () => {
  const view = new DataView(new ArrayBuffer((packed.length / 5) * 4));
  for (let at = 0; at < packed.length; at += 5) {
    let word = 0;
    for (const digit of packed.slice(at, at + 5)) word = word * 85 + digits.indexOf(digit);
    view.setUint32((at / 5) * 4, word);
  }
  const data = new Blob([new Uint8Array(view.buffer, 0, %d)]);
  const stream = data.stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const source = await new Response(stream).text();
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return (await import(/* webpackIgnore: true */ /* @vite-ignore */ url)).default();
  } finally {
    URL.revokeObjectURL(url);
  }
};
"""


@cache
def style() -> str:
    """Return the view's style sheet."""
    return (STATIC / "monitor.css").read_text(encoding="utf-8")
