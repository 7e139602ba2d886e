"""Who is treated how and when: groups, schedules, pauses, the policy function, edits that hold at once."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dnsnb.dns.clients import Directory, parse_client, parse_group
from dnsnb.dns.explain import add_lines, explain, parse_question
from dnsnb.dns.function import Asker, Question
from dnsnb.dns.listanalytics import Hits, entries, never_hit, overlap, would_add
from dnsnb.dns.listformats import read_list
from dnsnb.dns.names import name_tail
from dnsnb.dns.policy import Change, Policy
from dnsnb.dns.rebind import Rebinding, is_inside
from dnsnb.dns.rules import Verdict
from dnsnb.dns.schedule import Schedule
from dnsnb.errors import SettingError

BERLIN = ZoneInfo("Europe/Berlin")


def wire(name: str) -> bytes:
    return name_tail(name) + b"\0"


def action(policy: Policy, name: str, client: str = "10.0.0.1") -> str:
    return policy.decide(client, wire(name), 1).action


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


# --- edits ---


def test_an_edit_holds_at_once_in_both_directions_and_is_told() -> None:
    policy = Policy(wall=lambda: 1_700_000_000.5)
    told: list[Change] = []
    leave = policy.on_change(told.append)
    rules = policy.rules_for("10.0.0.1")
    assert rules is policy.rules_for("10.0.0.2")
    edit = policy.edit("blacklist", add=["Ads.Example.com.", "ads.example.com", "two.example"])
    assert [rule.text for rule in edit.added] == ["ads.example.com", "two.example"]
    assert action(policy, "x.ads.example.com") == "block"
    assert policy.lists["blacklist"].names[edit.added[0]] == 1_700_000_000_500
    assert (told[-1].kind, told[-1].list, told[-1].added, told[-1].count, told[-1].version) == (
        "list", "blacklist", ("ads.example.com", "two.example"), 2, 2,
    )  # fmt: skip
    edit = policy.edit("blacklist", add=["two.example"], remove=["ads.example.com", "not.there"])
    assert [r.text for r in edit.already + edit.removed + edit.absent] == [
        "two.example",
        "ads.example.com",
        "not.there",
    ]
    assert action(policy, "x.ads.example.com") == "none"
    assert told[-1].generation == policy.generation == 3
    policy.edit("blacklist", add=["two.example"])
    assert policy.generation == 3  # nothing changed, nothing is told
    leave()
    policy.edit("blacklist", add=["three.example"])
    assert len(told) == 2


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "not a name"),
        ("*", "allow_only"),
        ("a..b", "empty label"),
        ("two words", "a space"),
        ("http://ads.example/x", "write 'ads.example'"),
        ("192.0.2.1", "an address"),
        ("[::1]", "an address"),
        ("x" * 64 + ".example", "63 is the most"),
        (".".join(["abcdefg"] * 40), "255 is the most"),
        ("a\n.example", "a line break"),
        ("<script>", "can't stand"),
        ("a*.example", "can't stand"),
        ("\\999.example", "over 255"),
        ("xn--\u2603\ufffd.example", "not a valid|not valid"),
        (5, "must be text"),
    ],
)
def test_a_wrong_name_is_quoted_and_nothing_changes(name: str, why: str) -> None:
    policy = Policy()
    with pytest.raises(SettingError, match=why) as caught:
        policy.edit("blacklist", add=["fine.example", name])
    assert caught.value.value == name
    assert policy.lists["blacklist"].count == 0
    assert action(policy, "fine.example") == "none"


def test_an_unknown_list_is_named() -> None:
    with pytest.raises(SettingError, match="there are blacklist, whitelist"):
        Policy().edit("greylist", add=["a.example"])


def test_names_typed_into_a_loaded_list_come_and_go_without_it() -> None:
    policy = Policy()
    policy.load("ads", "0.0.0.0 one.example\ntwo.example\n", format="hosts")
    policy.edit("ads", add=["one.example", "*.two.example"])
    assert action(policy, "a.one.example") == "block"
    policy.edit("ads", remove=["one.example", "*.two.example"])
    assert [action(policy, n) for n in ("one.example", "a.one.example", "two.example", "a.two.example")] == [
        "block", "none", "block", "block",
    ]  # fmt: skip
    policy.edit("ads", add=["typed.example"])
    policy.load("ads", "other.example")
    assert [action(policy, n) for n in ("one.example", "other.example", "typed.example")] == ["none", "block", "block"]


def test_a_list_that_is_gone_leaves_nothing_to_the_next_in_its_place() -> None:
    policy = Policy()
    policy.load("old", "||old.example^\n/^pattern/\n||m.example^$dnstype=A\n||192.0.2.1^")
    policy.drop("old")
    assert [action(policy, n) for n in ("old.example", "pattern.example", "m.example")] == ["none"] * 3
    policy.load("new", "||new.example^")
    assert [action(policy, n) for n in ("old.example", "pattern.example", "m.example", "new.example")] == [
        "none", "none", "none", "block",
    ]  # fmt: skip
    with pytest.raises(SettingError, match="always there"):
        policy.drop("blacklist")


# --- schedules ---


@pytest.mark.parametrize(
    ("text", "moment", "open_"),
    [
        ("22:00-06:00 weekdays", "2024-03-04 23:00", True),  # a Monday
        ("22:00-06:00 weekdays", "2024-03-05 05:59", True),
        ("22:00-06:00 weekdays", "2024-03-05 06:00", False),
        ("22:00-06:00 weekdays", "2024-03-09 05:00", True),  # Friday's night
        ("22:00-06:00 weekdays", "2024-03-09 23:00", False),
        ("22:00-06:00 weekdays", "2024-03-04 05:00", False),  # Sunday's night isn't one of them
        ("weekends", "2024-03-09 12:00", True),
        ("weekends", "2024-03-08 12:00", False),
        ("08:00-12:00 mon,wed", "2024-03-06 08:00", True),
        ("08:00-12:00 mon,wed", "2024-03-05 09:00", False),
        ("fri-mon 08:00-12:00", "2024-03-10 09:00", True),
        ("08:00-12:00; 13:00-17:00", "2024-03-05 14:00", True),
        ("08:00-12:00; 13:00-17:00", "2024-03-05 12:30", False),
        ("00:00-24:00", "2024-03-05 00:00", True),
        ("02:30-03:30", "2024-03-31 03:15", True),  # the clocks go forward: 02:30 never is
    ],
)
def test_windows_of_the_week(text: str, moment: str, open_: bool) -> None:
    assert Schedule(text, BERLIN).active(at(moment)) is open_


def test_the_next_change_is_never_late() -> None:
    hours = Schedule("22:00-06:00 weekdays; 12:00-13:00 sun", BERLIN)
    now = at("2024-03-28 00:00")  # over the change to summer time
    end = now + 8 * 86_400
    while now < end:
        before = hours.active(now)
        following = hours.next_change(now)
        assert now < following <= now + 25 * 3600
        for step in range(1, 20):
            between = now + (following - now) * step / 20
            assert hours.active(between) is before
        now = following


@pytest.mark.parametrize("text", ["", "noon", "25:00-26:00", "08:00-12:00 13:00-14:00", "08:00-12:00 someday", "8-12"])
def test_a_wrong_schedule_is_named(text: str) -> None:
    with pytest.raises(SettingError):
        Schedule(text)


def test_a_scheduled_list_holds_in_its_hours_and_the_boundary_moves_the_generation() -> None:
    now = [at("2024-03-05 21:59:59", ZoneInfo("UTC"))]
    policy = Policy(wall=lambda: now[0])
    policy.load("social", "chat.example")
    policy.configure("social", schedule="22:00-06:00")
    policy.list("social").schedule = Schedule("22:00-06:00", ZoneInfo("UTC"))
    policy.configure("social")  # take the boundary in
    told: list[str] = []
    policy.on_change(lambda change: told.append(change.kind))
    assert action(policy, "chat.example") == "none"
    assert policy.next_change() == now[0] + 1
    assert not policy.tick()
    now[0] += 1
    generation = policy.generation
    assert policy.tick()
    assert (told, policy.generation) == (["schedule"], generation + 1)
    assert action(policy, "chat.example") == "block"
    assert policy.next_change() == now[0] + 8 * 3600
    now[0] -= 1800  # the clock was wrong
    assert policy.tick()
    assert action(policy, "chat.example") == "none"
    assert policy.next_change() == now[0] + 1800


# --- clients ---


def house(policy: Policy) -> None:
    policy.load("social", "chat.example")
    policy.load("trackers", "||track.example^")
    policy.set_directory(
        Directory(
            [
                parse_client({"name": "tablet", "addresses": ["10.0.0.5", "fd00::5"]}),
                parse_client({"name": "lab", "addresses": ["10.9.0.0/16"]}),
                parse_client({"name": "desk", "addresses": ["10.9.1.1"]}),
            ],
            [
                parse_group({"name": "kids", "members": ["tablet", "10.0.1.0/24"], "lists": ["social"]}),
                parse_group(
                    {"name": "free", "members": ["lab"], "lists": [], "inherit": False, "upstreams": ["9.9.9.9"]}
                ),
                parse_group({"name": "guests", "members": ["10.0.7.0/24"], "allow_only": True}),
            ],
        )
    )


@pytest.mark.parametrize(
    ("client", "name", "expected"),
    [
        ("10.0.0.5", "chat.example", "block"),
        ("fd00::5", "chat.example", "block"),
        ("::ffff:10.0.0.5", "chat.example", "block"),
        ("10.0.1.77", "chat.example", "block"),
        ("10.0.0.6", "chat.example", "none"),  # a list that groups name is theirs alone
        ("10.0.0.6", "track.example", "block"),
        ("10.0.0.5", "track.example", "block"),
        ("10.9.3.3", "track.example", "none"),
        ("10.9.3.3", "typed.example", "none"),
        ("10.0.0.6", "typed.example", "block"),
        ("10.0.7.1", "anything.example", "block"),
        ("10.0.7.1", "good.example", "allow"),
    ],
)
def test_groups_have_lists_of_their_own(client: str, name: str, expected: str) -> None:
    policy = Policy()
    house(policy)
    policy.edit("blacklist", add=["typed.example"])
    policy.edit("whitelist", add=["good.example"])
    assert action(policy, name, client) == expected


def test_an_address_has_the_name_of_the_narrowest_network() -> None:
    policy = Policy()
    house(policy)
    assert policy.identify("10.9.1.1").name == "desk"
    assert policy.identify("10.9.1.2").name == "lab"
    assert policy.identify("10.0.9.9").name is None
    assert policy.rules_for("10.9.1.2").view == "9.9.9.9"
    assert policy.rules_for("10.0.0.5").view == ""
    assert policy.views() == {"9.9.9.9": ("9.9.9.9",)}
    assert policy.rules_for("10.0.1.1") is policy.rules_for("10.0.1.2")
    assert policy.rules_for("10.0.1.1") is not policy.rules_for("10.0.0.6")


def test_client_rules_know_names_and_groups() -> None:
    policy = Policy()
    house(policy)
    policy.load("l", "||a.example^$client=tablet\n||b.example^$ctag=kids\n||c.example^$client=~kids", format="adblock")
    assert [action(policy, n, "10.0.0.5") for n in ("a.example", "b.example", "c.example")] == [
        "block",
        "block",
        "none",
    ]
    assert [action(policy, n, "10.0.0.9") for n in ("a.example", "b.example", "c.example")] == ["none", "none", "block"]


def test_a_default_group_says_what_everybody_gets() -> None:
    policy = Policy()
    policy.load("one", "one.example")
    policy.load("two", "two.example")
    policy.set_directory(Directory([], [parse_group({"name": "default", "lists": ["two"]})]))
    assert [action(policy, n) for n in ("one.example", "two.example")] == ["none", "block"]


def test_a_groups_schedule_is_its_own() -> None:
    now = [at("2024-03-05 12:00", ZoneInfo("UTC"))]
    policy = Policy(wall=lambda: now[0])
    policy.load("social", "chat.example")
    group = parse_group({"name": "kids", "members": ["10.0.0.5"], "lists": ["social"]})
    night = Schedule("22:00-06:00", ZoneInfo("UTC"))
    from dataclasses import replace

    policy.set_directory(Directory([], [replace(group, schedules={"social": night, "allow_only": night})]))
    assert action(policy, "chat.example", "10.0.0.5") == "none"
    now[0] += 11 * 3600
    policy.tick()
    assert policy.decide("10.0.0.5", wire("chat.example"), 1).list == "social"
    assert policy.decide("10.0.0.5", wire("other.example"), 1).list == "allow_only"
    assert action(policy, "other.example", "10.0.0.6") == "none"


@pytest.mark.parametrize(
    ("kind", "item", "setting"),
    [
        ("client", {"name": "", "addresses": []}, "clients.name"),
        ("client", {"name": "x", "addresses": ["nowhere"]}, "clients.addresses"),
        ("client", {"name": "x", "mac": "00:11"}, "clients.mac"),
        ("group", {"name": "x", "members": 5}, "groups.members"),
        ("group", {"name": "x", "inherit": "yes"}, "groups.inherit"),
        ("group", {"name": "x", "upstreams": ["gopher://x"]}, "groups.upstreams[0]"),
        ("group", {"name": "x", "schedules": {"a": "noon"}}, "groups.schedules.a"),
        ("group", {"name": "x", "schedules": []}, "groups.schedules"),
    ],
)
def test_wrong_clients_name_the_culprit(kind: str, item: dict[str, object], setting: str) -> None:
    with pytest.raises(SettingError) as caught:
        (parse_client if kind == "client" else parse_group)(item)
    assert caught.value.setting == setting


def test_a_directory_is_checked_as_a_whole() -> None:
    policy = Policy()
    with pytest.raises(SettingError, match="no such list"):
        policy.set_directory(Directory([], [parse_group({"name": "x", "lists": ["missing"]})]))
    with pytest.raises(SettingError, match="neither the name of a client"):
        Directory([], [parse_group({"name": "x", "members": ["missing"]})])
    with pytest.raises(SettingError, match="twice"):
        Directory([parse_client({"name": "x"}), parse_client({"name": "x"})])
    assert policy.generation == 1


# --- pauses ---


def test_a_pause_ends_by_itself_and_only_holds_for_whom_it_is_for() -> None:
    now = [1_700_000_000.0]
    policy = Policy(wall=lambda: now[0])
    house(policy)
    assert policy.pause(300) == now[0] + 300
    assert action(policy, "track.example") == "none"
    now[0] += 299
    assert not policy.tick()
    now[0] += 1
    assert policy.tick()
    assert action(policy, "track.example") == "block"
    for who in ("tablet", "kids", "10.0.0.5"):
        policy.pause(60, who)
        assert (action(policy, "track.example", "10.0.0.5"), action(policy, "track.example")) == ("none", "block")
        assert policy.resume(who)
        assert action(policy, "track.example", "10.0.0.5") == "block"
    assert not policy.resume("tablet")
    policy.allow_only = True
    policy.pause(1)
    assert action(policy, "anything.example") == "none"


def test_a_clock_that_is_set_back_prolongs_no_pause() -> None:
    now = [1_700_000_000.0]
    policy = Policy(wall=lambda: now[0])
    house(policy)
    policy.pause(300)
    now[0] += 60
    assert not policy.tick()  # a minute has passed, as its caller sees to
    now[0] -= 86_400
    policy.tick()
    assert action(policy, "track.example") == "none"
    now[0] += 240
    assert policy.tick()
    assert action(policy, "track.example") == "block"
    now[0] -= 0.5  # as time servers do
    assert not policy.tick()


@pytest.mark.parametrize("seconds", [0, -1, 1e9, float("nan"), "5", True])
def test_a_wrong_pause_is_refused(seconds: float) -> None:
    with pytest.raises(SettingError):
        Policy().pause(seconds)


# --- the function ---


def test_a_function_has_the_last_word() -> None:
    policy = Policy()
    house(policy)
    asked: list[tuple[Question, Asker]] = []

    def judge(question: Question, client: Asker) -> object:
        asked.append((question, client))
        return {
            "a.example": "block",
            "track.example": "allow",
            "c.example": "nxdomain",
            "d.example": "192.0.2.1",
            "e.example": Verdict("block", "mine", "because"),
        }.get(question.name)

    policy.set_function(judge)
    assert policy.dynamic
    decide = lambda name: policy.decide("10.0.0.5", wire(name), 28)  # noqa: E731
    assert decide("a.example") == Verdict("block", "policy", "judge")
    assert decide("track.example").action == "allow"
    assert decide("c.example").reply is not None
    assert decide("c.example").reply.kind == "nxdomain"
    assert decide("d.example").reply.records == ((1, None, bytes([192, 0, 2, 1])),)
    assert decide("e.example") == Verdict("block", "mine", "because")
    assert decide("chat.example") == Verdict("block", "social", "chat.example")
    assert asked[0] == (Question("a.example", "AAAA", Verdict("none")), Asker("10.0.0.5", "tablet", ("kids",)))
    policy.set_function(None)
    assert not policy.dynamic
    assert decide("a.example").action == "none"


@pytest.mark.parametrize(
    "said", [lambda q, c: 1 / 0, lambda q, c: "perhaps", lambda q, c: 5, lambda q: None, lambda q, c: Verdict("maybe")]
)
def test_a_functions_mistakes_are_counted_and_the_query_goes_on(said: object) -> None:
    policy = Policy()
    policy.edit("blacklist", add=["ads.example"])
    policy.set_function(said)  # type: ignore[arg-type]
    assert action(policy, "ads.example") == "block"
    assert action(policy, "fine.example") == "none"
    assert policy.function is not None
    told = policy.function.as_dict()
    assert (told["calls"], told["errors"]) == (2, 2)
    assert told["last_error"]


def test_something_that_cant_be_called_is_refused() -> None:
    with pytest.raises(SettingError):
        Policy().set_function("block")  # type: ignore[arg-type]


# --- rebinding ---


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.1", True), ("10.0.0.1", True), ("172.31.0.1", True), ("172.32.0.1", False), ("192.168.9.9", True),
        ("169.254.1.1", True), ("0.0.0.0", True), ("100.64.0.1", True), ("100.128.0.1", False), ("1.1.1.1", False),
        ("192.0.2.1", False), ("198.51.100.1", False), ("203.0.113.1", False), ("::1", True), ("::", True),
        ("fc00::1", True), ("fdff::1", True), ("fe80::1", True), ("febf::1", True), ("fec0::1", False),
        ("2001:db8::1", False), ("::ffff:127.0.0.1", True), ("::ffff:1.1.1.1", False),
        ("64:ff9b::10.0.0.1", True), ("64:ff9b::1.1.1.1", False),
    ],
)  # fmt: skip
def test_addresses_of_the_inside(address: str, inside: bool) -> None:
    import ipaddress

    assert is_inside(ipaddress.ip_address(address).packed) is inside


def test_rebinding_spares_the_names_that_may() -> None:
    home = bytes([192, 168, 1, 1])
    guard = Rebinding(True, ["home.example", "*.plex.direct"])
    assert guard.offends(wire("evil.example"), 1, home)
    assert not guard.offends(wire("nas.home.example"), 1, home)
    assert not guard.offends(wire("x.plex.direct"), 1, home)
    assert guard.offends(wire("nothome.example"), 1, home)
    assert not guard.offends(wire("evil.example"), 16, home)
    assert not Rebinding(False).offends(wire("evil.example"), 1, home)
    with pytest.raises(SettingError):
        Rebinding(True, ["a b"])


# --- explaining, and what lists are worth ---


def test_a_verdict_is_explained_step_by_step() -> None:
    policy = Policy()
    house(policy)
    policy.load("more", "# head\n0.0.0.0 x.example\n\n0.0.0.0 track.example\n")
    told = add_lines(policy, explain(policy, parse_question("Track.Example.", "aaaa"), "10.0.0.5"))
    assert (told.name, told.type, told.client_name, told.groups) == ("track.example", "AAAA", "tablet", ["kids"])
    assert [step.step for step in told.steps] == ["client", "local names", "lists"]
    listed = told.steps[-1]
    assert (listed.verdict, listed.list, listed.rule, listed.line) == ("block", "trackers", "track.example", 1)
    assert listed.us > 0
    assert [(m["list"], m["line"]) for m in told.matches] == [("trackers", 1), ("more", 4)]
    assert (told.decided, told.verdict) == ("lists", "block")
    policy.set_function(lambda q, c: "allow")
    told = explain(policy, parse_question("track.example", "A"), "10.0.0.5")
    assert (told.decided, told.verdict) == ("", "allow")
    assert told.steps[-1].step == "policy function"
    for name, qtype in (("a b", "A"), ("a.example", "NOPE")):
        with pytest.raises(SettingError):
            parse_question(name, qtype)


def test_hits_are_counted_from_the_log() -> None:
    policy = Policy()
    content_rules = "a.example\nb.example\n||m.example^$dnstype=A\n/^pat/\n"
    policy.load("l", content_rules, format="adblock")
    hits = Hits()
    hits.add(["l", "l", None, "policy", "l"], ["a.example", "a.example", None, None, "/^pat/ (CNAME x.example)"])
    assert hits.top() == [{"list": "l", "rule": "a.example", "hits": 2}, {"list": "l", "rule": "/^pat/", "hits": 1}]
    assert hits.lists == {"l": 3, "policy": 1}
    told = never_hit(policy.list("l"), hits)
    assert (told["rules"], told["never_hit"], sorted(told["first"])) == (4, 2, ["b.example", "||m.example^$dnstype=A"])


@pytest.mark.parametrize("large", [False, True])
def test_overlap_and_what_a_list_would_add(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    from dnsnb.dns import listformats

    monkeypatch.setattr(listformats, "SMALL", 1 if large else 5000)
    policy = Policy()
    policy.load("one", "a.example\nb.example\nc.example\n")
    policy.load("two", "0.0.0.0 a.example\n0.0.0.0 deep.b.example\n0.0.0.0 only.example\n@@||excused.example^\n")
    policy.load("excuses", "c.example", kind="allow")
    rows = {row["list"]: row for row in overlap(policy)["lists"]}
    assert rows["one"] == {"list": "one", "names": 3, "only_here": 2, "also_in": {"blacklist": 0, "two": 1}}
    assert rows["two"] == {"list": "two", "names": 3, "only_here": 1, "also_in": {"blacklist": 0, "one": 2}}
    told = would_add(policy, read_list(b"x.a.example\nnew.example\na.example\nnew.example\n"))
    assert (told["names"], told["new"], told["first_new"], told["known_by"]) == (
        3,
        1,
        ["new.example"],
        {"one": 2, "two": 1},
    )
    policy.edit("one", add=["typed.example"])
    assert entries(policy.list("one"), "e", 2)[0]["name"] == "typed.example"
    assert [item["name"] for item in entries(policy.list("one"), "b.ex")] == ["b.example"]
