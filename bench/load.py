"""How fast a file is loaded, and in how much memory, against DuckDB (`pip install duckdb`) and SQLite in the same run.

The arguments are sizes of the files as NDJSON, in MB: 10 and 100 by default. SQLite is what a script of Python makes of
it: rows by `json` or `csv`, one transaction, `synchronous=FULL`.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import server

DUCKDB = """
import duckdb, sys, time
start = time.perf_counter()
connection = duckdb.connect(sys.argv[2])
connection.execute("SET enable_progress_bar = false")
connection.execute("CREATE TABLE t AS SELECT * FROM " + sys.argv[3] + "(?)", [sys.argv[1]])
print(connection.execute("SELECT count(*) FROM t").fetchone()[0], time.perf_counter() - start)
"""
SQLITE = """
import csv, json, sqlite3, sys, time
start = time.perf_counter()
connection = sqlite3.connect(sys.argv[2])
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE t (id INTEGER, name TEXT, city TEXT, value REAL, count INTEGER, note TEXT)")
with open(sys.argv[1], newline="") as file:
    if sys.argv[3] == "csv":
        lines = csv.reader(file)
        next(lines)
    elif sys.argv[3] == "ndjson":
        lines = (tuple(json.loads(line).values()) for line in file)
    else:
        lines = (tuple(record.values()) for record in json.load(file))
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", lines)
connection.commit()
print(connection.execute("SELECT count(*) FROM t").fetchone()[0], time.perf_counter() - start)
"""


def records(size):
    """Records until they are `size` bytes as NDJSON: text, numbers, missing attributes."""
    dice, written, number = random.Random(7), 0, 0
    while written < size:
        number += 1
        record = {
            "id": number,
            "name": f"name {dice.randrange(100_000)}",
            "city": dice.choice(["Bern", "Oslo", "Lima", "Kyoto"]),
            "value": dice.random() * 1000,
            "count": dice.randrange(1_000_000),
            "note": "x" * dice.randrange(60),
        }
        written += len(json.dumps(record)) + 1
        yield record


def write(folder, size):
    ndjson, csv, array = (folder / f"data.{suffix}" for suffix in ("ndjson", "csv", "json"))
    rows = 0
    with ndjson.open("w") as lines, csv.open("w") as cells, array.open("w") as items:
        cells.write("id,name,city,value,count,note\n")
        for record in records(size):
            text = json.dumps(record)
            lines.write(text + "\n")
            items.write(("," if rows else "[") + text)
            cells.write(",".join(map(str, record.values())) + "\n")
            rows += 1
        items.write("]")
    return rows, [(ndjson, "read_json_auto"), (csv, "read_csv_auto"), (array, "read_json_auto")]


def assay(file, rows, by_program):
    """Seconds from the first byte that is sent to the answer that all is loaded, and bytes of our engine process. The
    file is sent by `assay load`, whose start counts, or as the body of one request."""
    with server.running() as (address, _):
        client = server.Client(address)
        start = time.perf_counter()
        if by_program:
            line = [server.PROGRAM, "load", file, "--as", "t", "--quiet", "--server", f"http://{address}"]
            subprocess.run(line, check=True)
            taken = time.perf_counter() - start
            [job] = client.request("GET", "/v1/jobs")["items"]
            job = server.finished(client, client.request("GET", job["links"]["self"]))
        else:
            job = server.load(client, "t", file)
            taken = time.perf_counter() - start
        assert job["result"]["summary"]["rows"] == rows, job
        return taken, job["usage"]["peak_bytes"]


def peer(script, file, rows, database, kind):
    """Seconds of a load by a program of Python, without its start, and bytes of all of it."""
    child = subprocess.Popen([sys.executable, "-c", script, file, database, kind], stdout=subprocess.PIPE, text=True)
    found, taken = child.stdout.read().split()
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0 and int(found) == rows
    return float(taken), usage.ru_maxrss * 1024


def measure(size):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rows, files = write(folder, size)
        for file, reader in files:
            megabytes = file.stat().st_size / 1e6
            runs = {
                "assay load": assay(file, rows, True),
                "one request": assay(file, rows, False),
                "DuckDB": peer(DUCKDB, file, rows, folder / f"{file.name}.duckdb", reader),
                "SQLite": peer(SQLITE, file, rows, folder / f"{file.name}.sqlite", file.suffix[1:]),
            }
            told = [f"{who} {megabytes / taken:.0f} MB/s in {used / 1e6:.0f} MB" for who, (taken, used) in runs.items()]
            ratios = [f"{who} {runs['DuckDB'][0] / runs[who][0]:.2f}" for who in ("assay load", "one request")]
            print(f"{file.name}, {megabytes:.0f} MB: {'; '.join(told)}; of DuckDB's speed: {', '.join(ratios)}", flush=True)


if __name__ == "__main__":
    for megabytes in sys.argv[1:] or ["10", "100"]:
        measure(int(megabytes) * 1_000_000)
