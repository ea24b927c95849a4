"""Starts the release binary over an empty store, for the benchmarks."""

import contextlib
import http.client
import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target" / "release" / "assay"


class Client:
    """One connection to the server, kept open."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=600)

    def request(self, method, path, body=None, **headers):
        data = json.dumps(body) if isinstance(body, dict) else body
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, data, headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 400 or answer.get("state") == "failed":
            raise RuntimeError(answer)
        return answer

    def post(self, path, body, **headers):
        return self.request("POST", path, body, **{"content-type": "application/json", **headers})


def finished(client, job):
    """The job once it has ended."""
    while job["state"] not in ("succeeded", "failed", "canceled"):
        job = client.request("GET", job["links"]["self"], prefer="wait=60")
    return job


def load(client, name, file):
    """The finished job that loaded a file as the data set `name`."""
    path, size = f"/v1/datasets/{name}/import", str(file.stat().st_size)
    with file.open("rb") as body:
        return finished(client, client.request("POST", path, body, prefer="wait=60", content_length=size))


@contextlib.contextmanager
def running():
    """The address and the process id of a server that ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        line = [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--store", folder]
        child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            words = child.stdout.readline().split()
            url = next(word for word in words if word.startswith("http://"))
            yield url.removeprefix("http://"), child.pid
        finally:
            child.terminate()
            child.wait(30)
