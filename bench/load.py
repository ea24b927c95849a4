"""How fast a file is loaded, and in how much memory, against DuckDB (`pip install duckdb`) in the same run.

The argument is the size of the files in MB, 100 by default.
"""

import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

import server

DUCKDB = """
import duckdb, sys
connection = duckdb.connect(sys.argv[2])
connection.execute("SET enable_progress_bar = false")
connection.execute("CREATE TABLE t AS SELECT * FROM " + sys.argv[3] + "(?)", [sys.argv[1]])
print(connection.execute("SELECT count(*) FROM t").fetchone()[0])
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
    ndjson, csv = folder / "data.ndjson", folder / "data.csv"
    rows = 0
    with ndjson.open("w") as lines, csv.open("w") as cells:
        cells.write("id,name,city,value,count,note\n")
        for record in records(size):
            rows += 1
            lines.write(json.dumps(record) + "\n")
            cells.write(",".join(map(str, record.values())) + "\n")
    return rows, [(ndjson, "read_json_auto"), (csv, "read_csv_auto")]


def assay(file, rows):
    with server.running() as (address, _):
        client = server.Client(address)
        start = time.perf_counter()
        job = server.load(client, "t", file)
        taken = time.perf_counter() - start
        assert job["result"]["summary"]["rows"] == rows, job
        return taken, job["usage"]["peak_bytes"]


def duckdb(file, reader, rows, folder):
    database = folder / f"{reader}.duckdb"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start = time.perf_counter()
    line = [sys.executable, "-c", DUCKDB, str(file), str(database), reader]
    found = subprocess.run(line, check=True, capture_output=True, text=True)
    taken = time.perf_counter() - start
    assert int(found.stdout) == rows
    return taken, max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


def main():
    size = int(sys.argv[1] if len(sys.argv) > 1 else 100) * 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rows, files = write(folder, size)
        for file, reader in files:
            megabytes = file.stat().st_size / 1e6
            peer, peer_bytes = duckdb(file, reader, rows, folder)
            ours, our_bytes = assay(file, rows)
            print(
                f"{file.name}, {megabytes:.0f} MB: assay {megabytes / ours:.0f} MB/s in {our_bytes / 1e6:.0f} MB; "
                f"DuckDB {megabytes / peer:.0f} MB/s in at most {peer_bytes / 1e6:.0f} MB; ratio {peer / ours:.2f}"
            )


if __name__ == "__main__":
    main()
