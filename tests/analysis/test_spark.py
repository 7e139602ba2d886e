"""A PySpark frame gives what the same rows in pandas give; runs where Java and the extra `spark` are there."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import pandas as pd
import pyarrow as pa
from frame_kinds import as_kind, plain, rich_table
from pyspark.sql import SparkSession
from dnsnb import analysis

table = rich_table()
for number, field in enumerate(table.schema):
    if pa.types.is_dictionary(field.type):
        table = table.set_column(number, field.name, table.column(number).cast(pa.string()))
builder = SparkSession.builder.master("local[1]")
for key, value in {
    "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1", "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1", "spark.sql.session.timeZone": "UTC",
}.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
frame, same = spark.createDataFrame(table), as_kind(table, "pandas")
for name, given in {
    "rate": {"every": "5min", "by": "status"}, "top": {}, "latency": {}, "replay": {"blacklist": ["shop.example"]},
    "tunnels": {}, "beacons": {}, "hunt": {},
}.items():
    found, wanted = (plain(getattr(analysis, name)(f, **given)) for f in (frame, same))
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-4, obj=name)
    print("equal", name)
assert analysis.pseudonymise(frame, b"0" * 32).count() == len(same)
spark.stop()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_spark_gives_the_same() -> None:
    if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None:
        pytest.skip("needs Java and pyspark")
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(Path(__file__).parent)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280)  # a process: it leaves a JVM behind
    assert ran.returncode == 0, ran.stderr[-2000:]
    equal = ran.stdout.replace("equal ", "").split()
    assert equal == ["rate", "top", "latency", "replay", "tunnels", "beacons", "hunt"]
