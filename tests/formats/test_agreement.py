"""Different witnesses of the same traffic agree: TSV and JSON, log and dnstap and what was really asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dnsnb.formats import columns, read_log

pytestmark = pytest.mark.shared

KEY = ("client", "client_port", "qname", "qtype")


def truth(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=3)
    return pd.DataFrame({
        "client": table["client"],
        "client_port": table["port"].astype(int),
        "qname": [columns.canonical_name(n) for n in table["qname"]],
        "qtype": [columns.qtype(t) for t in table["qtype"]],
        "rcode": table["rcode"].where(table["rcode"] != "TIMEOUT"),
        "dns_id": table["id"].astype(int),
    })  # fmt: skip


def counted(frame: pd.DataFrame, *names: str) -> Counter[Any]:
    return Counter(zip(*(frame[n].astype(object).where(frame[n].notna(), None) for n in names), strict=True))


def test_zeek_tsv_and_json_give_equal_frames(shared_data: Path) -> None:
    tsv = read_log(shared_data / "zeek-tsv" / "wrccdc_dns.log.gz").drop(columns=["source", "id"])
    json = read_log(shared_data / "zeek-json" / "wrccdc_dns.json.gz").drop(columns=["source", "id"])
    assert len(tsv) == 53_615
    assert tsv.pop("answers").array.__arrow_array__().equals(json.pop("answers").array.__arrow_array__())
    pd.testing.assert_frame_equal(tsv, json[list(tsv.columns)], check_categorical=False)


def test_bind_log_says_what_was_asked(shared_data: Path) -> None:
    asked = truth(shared_data / "bind" / "gen_bind918_utc.truth.tsv")
    log = read_log(shared_data / "bind" / "gen_bind918_utc_query.log")
    assert counted(log, *KEY) == counted(asked, *KEY)


def test_bind_dnstap_agrees_with_the_log_and_with_what_was_asked(shared_data: Path) -> None:
    asked = truth(shared_data / "bind" / "gen_bind918_utc.truth.tsv")
    tap = read_log(shared_data / "dnstap" / "gen_bind918_utc.fstrm")
    answered = tap[
        tap["rcode"].notna() & (tap["rcode"] != "SERVFAIL")
    ]  # those that timed out were told SERVFAIL too late
    assert len(tap) == 1495
    assert not counted(tap, *KEY, "dns_id") - counted(asked, *KEY, "dns_id")
    assert not counted(answered, *KEY, "rcode") - counted(asked, *KEY, "rcode")


def test_dnsmasq_log_says_what_was_asked_or_is_marked_lossy(shared_data: Path) -> None:
    asked = truth(shared_data / "dnsmasq" / "gen_dnsmasq290_extra.truth.tsv")
    log = read_log(shared_data / "dnsmasq" / "gen_dnsmasq290_extra.log", year=2026, tz="UTC")
    assert len(log) == len(asked) == 1544
    sure = log[~log["lossy"]]
    assert len(sure) == 1540
    assert not counted(sure, *KEY) - counted(asked, *KEY)
    told = sure[sure["rcode"].notna()]
    assert len(told) > 1440
    assert not counted(told, *KEY, "rcode") - counted(asked, *KEY, "rcode")


def test_unbound_log_says_what_was_asked_or_is_marked_lossy(shared_data: Path) -> None:
    asked = truth(shared_data / "unbound" / "gen_unbound117_epoch.truth.tsv")
    log = read_log(shared_data / "unbound" / "gen_unbound117_epoch.log")
    assert len(log) == len(asked)
    sure = log[~log["lossy"]]
    key = ("client", "qname", "qtype")
    assert len(sure) > 1500
    assert not counted(sure, *key) - counted(asked, *key)
    told = sure[sure["rcode"].notna()]
    extra = counted(told, *key, "rcode") - counted(asked, *key, "rcode")
    assert all(row[-1] == "SERVFAIL" for row in extra)  # told after the asker had given up


def test_dnsdist_logs_of_questions_and_answers_are_joined(shared_data: Path) -> None:
    asked = truth(shared_data / "dnsdist" / "gen_dnsdist17.truth.tsv")
    log = read_log(shared_data / "dnsdist" / "*.log")
    assert len(log) == 1529
    assert not counted(log, *KEY) - counted(asked, *KEY)
    told = log[log["rcode"].notna()]
    assert len(told) == 1509
    assert not counted(told, *KEY, "rcode") - counted(asked, *KEY, "rcode")


@pytest.mark.parametrize("daemon", ["bind", "coredns", "dnsmasq"])
def test_logs_agree_with_captures_of_the_same_run(shared_data: Path, daemon: str) -> None:
    capture = read_log(shared_data / "pcap-tunnel" / f"dnscat2_{daemon}_dns.pcap")
    log = {
        "bind": "bind/dnscat2_bind_query.log",
        "coredns": "coredns/dnscat2_coredns_coredns.log",
        "dnsmasq": "dnsmasq/dnscat2_dnsmasq_dnsmasq.log",
    }
    frame = read_log(shared_data / log[daemon], year=2022, tz="UTC")
    seen = counted(capture, "client", "qname", "qtype")
    told = counted(frame, "client", "qname", "qtype")
    assert len(told) > 150
    assert not told - seen


def test_filebeat_gives_the_rows_of_the_log_it_carried(shared_data: Path) -> None:
    plain = read_log(shared_data / "bind" / "dnscat2_bind_query.log").drop(columns="source")
    carried = read_log(shared_data / "filebeat" / "dnscat2_bind_filebeat.json").drop(columns="source")
    pd.testing.assert_frame_equal(plain, carried, check_categorical=False)


def test_every_sample_is_recognised(shared_data: Path) -> None:
    folders = (
        "zeek-tsv",
        "zeek-json",
        "zeek-tsv-baseline",
        "bind",
        "filebeat",
        "coredns",
        "dnsmasq",
        "powerdns",
        "pihole-ftl",
        "dnstap",
        "pcap",
        "pcap-tunnel",
        "suricata-eve",
        "adguard-querylog",
        "windows-dns",
        "cloudflare",
        "passive-dns",
        "unbound",
        "dnsdist",
    )
    for folder in folders:
        for path in sorted((shared_data / folder).iterdir()):
            if path.suffix in (".tsv", ".sql"):
                continue
            frame = read_log(path)
            assert len(frame) or "inconsistent_printer" in path.name, path
