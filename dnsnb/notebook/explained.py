"""Why a name is answered as it is, for people: a table of steps, rules and upstreams. All of it is hostile text."""

from __future__ import annotations

from typing import Any

from dnsnb.notebook.static_view import escape, plain

_CELL = "padding:2px 14px 2px 0;text-align:left;vertical-align:top;font-family:monospace"
_MARK = {"block": "✗", "allow": "✓", "answer": "✓", "forward": "→", "none": "·", "miss": "·", "stale": "~"}


class Explanation:
    """What `session.explain` gives: `data` as the server told it, the `verdict`, and the step that `decided` it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.verdict: str = data["verdict"]
        self.decided: str = data["decided"]
        self.steps: list[dict[str, Any]] = data["steps"]
        self.matches: list[dict[str, Any]] = data["matches"]
        self.upstreams: list[dict[str, Any]] = data["upstreams"]

    def __repr__(self) -> str:
        lines = [self._head()]
        lines += [f"  {_MARK.get(s['verdict'], ' ')} {s['step']:<16} {s['verdict']:<7} {_why(s)}" for s in self.steps]
        if len(self.matches) > 1:
            lines.append("  every rule that matches:")
            lines += [f"    {m['action']:<6} {_where(m)}" for m in self.matches]
        lines += [f"  {_MARK.get(u['verdict'], ' ')} {u['upstream']:<16} {_said(u)}" for u in self.upstreams]
        return "\n".join(plain(line) for line in lines)

    def _repr_html_(self) -> str:
        rows = [_row("th", "step", "verdict", "why", "µs")]
        rows += [_row("td", s["step"], s["verdict"], _why(s), f"{s['us']:.0f}") for s in self.steps]
        html = f"<div><b>{escape(self._head())}</b></div><table>{''.join(rows)}</table>"
        if len(self.matches) > 1:
            rows = [_row("th", "action", "list", "rule", "line")]
            rows += [_row("td", m["action"], m["list"], m["rule"], m["line"] or "") for m in self.matches]
            html += f"<div>Every rule that matches, the deciding one first</div><table>{''.join(rows)}</table>"
        if self.upstreams:
            rows = [_row("th", "upstream", "verdict", "says", "ms")]
            rows += [_row("td", u["upstream"], u["verdict"], _said(u), u["ms"] or "") for u in self.upstreams]
            html += f"<table>{''.join(rows)}</table>"
        return html

    def _head(self) -> str:
        who = self.data["client_name"] or self.data["client"]
        settled = f" by {self.decided}" if self.verdict in ("block", "answer") else f", {self.decided} answers"
        return f"{self.data['name']} {self.data['type']} for {who}: {self.verdict}{settled if self.decided else ''}"


def _why(step: dict[str, Any]) -> str:
    return "; ".join(part for part in (_where(step) if step.get("list") else "", step["detail"]) if part)


def _where(rule: dict[str, Any]) -> str:
    line = f", line {rule['line']}" if rule.get("line") else ""
    return f"{rule['rule'] or ''} ({rule['list']}{line})".strip()


def _said(up: dict[str, Any]) -> str:
    if up["error"]:
        return str(up["error"])
    said = f"{up['rcode']} {', '.join(up['answers'])}".strip()
    return f"{said}; blocked by {_where(up | {'line': None})}" if up["verdict"] == "block" else said


def _row(tag: str, *cells: object) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_CELL}">{escape(str(cell))}</{tag}>' for cell in cells) + "</tr>"
