"""Where tokens and ended logins outlive the server: their hashes in JSON files of mode 0600.

Blocks: call it in a thread.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dnsnb.drivers.private import make_folder, write_whole
from dnsnb.errors import SettingError

FILE = "tokens.json"
LOGGED_OUT = "logged-out.json"


def load_tokens(folder: Path | None) -> list[dict[str, Any]]:
    """Return what was kept; nothing without a folder. A file that can't be read is a SettingError that names it."""
    if folder is None:
        return []
    path = folder / FILE
    try:
        rows = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise SettingError("folder", str(path), f"can't be read ({error}); mend it or move it away") from None
    if not isinstance(rows, list):
        raise SettingError("folder", str(path), "is not a list of tokens; mend it or move it away")
    return rows


def keep_tokens(folder: Path | None, rows: list[dict[str, Any]]) -> None:
    """Keep these in the place of those before; raises OSError, and then those before are still there."""
    if folder is not None:
        make_folder(folder)
        write_whole(folder / FILE, lambda out: out.write(json.dumps(rows, indent=1).encode()))


def load_logged_out(folder: Path | None) -> dict[str, int]:
    """Return the logins that were ended in earlier runs; a file that can't be read is a SettingError that names it."""
    if folder is None:
        return {}
    path = folder / LOGGED_OUT
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError("folder", str(path), f"can't be read ({error}); mend it or move it away") from None
    if not isinstance(found, dict):
        raise SettingError("folder", str(path), "is not an object of ended logins; mend it or move it away")
    return found


def keep_logged_out(folder: Path | None, ended: dict[str, int]) -> None:
    """Keep these in the place of those before; raises OSError."""
    if folder is not None:
        make_folder(folder)
        write_whole(folder / LOGGED_OUT, lambda out: out.write(json.dumps(ended).encode()))
