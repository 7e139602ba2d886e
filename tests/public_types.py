"""Hold the types of what `dnsnb` offers at its door: `make types` (pyright --verifytypes, by basedpyright).

Every public name, every public method and attribute of its class, must have a type that a checker knows without
guessing. Prints those that have none; exits with 1 then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dnsnb

#: beside the doors: what they give, and what is named in the README
ALSO = (
    "dnsnb.analysis.result.Result", "dnsnb.analysis.streaming.Stream", "dnsnb.client.events.Event",
    "dnsnb.client.policy.PolicyCommands", "dnsnb.formats.table.Format", "dnsnb.formats.report.ImportReport",
    "dnsnb.notebook.lookup.Lookup", "dnsnb.simulate.upstream.Running", "dnsnb.simulate.upstream.Upstream",
    "dnsnb.testing.local_dns.LocalDNS", "dnsnb.names.registered_domain", "dnsnb.names.parts",
)  # fmt: skip
BORNE = ("partially unknown", "No docstring")


def public() -> set[str]:
    """Return the full names of what is offered."""
    found = set(ALSO)
    for name, module in dnsnb._DOORS.items():
        thing = getattr(dnsnb, name)
        found.add(f"{getattr(thing, '__module__', module)}.{getattr(thing, '__qualname__', name)}")
    return found | {f"dnsnb.analysis.{name}" for name in dnsnb.analysis.OF_A_FRAME}


def symbols() -> list[dict[str, Any]]:
    """Return what the checker says of every symbol."""
    here = Path(sys.executable).parent
    run = subprocess.run(
        [str(here / "basedpyright"), "--verifytypes", "dnsnb", "--ignoreexternal", "--outputjson"],
        env=os.environ | {"PATH": f"{here}:{os.environ['PATH']}", "VIRTUAL_ENV": str(here.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    found: list[dict[str, Any]] = json.loads(run.stdout)["typeCompleteness"]["symbols"]
    return found


def main() -> int:
    wanted = public()
    checked = wrong = 0
    for symbol in symbols():
        owner, _, last = symbol["name"].rpartition(".")
        if (symbol["name"] not in wanted and owner not in wanted) or last.startswith("_"):
            continue
        checked += 1
        # a class is as good as its members, which are looked at one by one; so is what gives or takes one
        told = [d["message"] for d in symbol["diagnostics"] if not any(known in d["message"] for known in BORNE)]
        if symbol["category"] != "class" and told:
            wrong += 1
            print(f"{symbol['name']}: {told[0]}")
    print(f"{checked} public names, {wrong} without a type of their own")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
