"""Starts the release binary, or that of `ASSAY_PROGRAM`, for the benchmarks."""

import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("ASSAY_PROGRAM", ROOT / "target" / "release" / "assay"))


class Client:
    """One connection to the server, kept open."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=600, blocksize=1 << 20)

    def request(self, method, path, body=None, **headers):
        data = json.dumps(body) if isinstance(body, dict) else body
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, data, headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 400 or answer.get("state") == "failed":
            raise RuntimeError(answer)
        return answer

    def job(self, path, **headers):
        """The job and its entity tag, or the job that is known when it has not changed."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request("GET", path, headers=headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 304:
            self.known = json.loads(body)
        return self.known, response.headers["etag"]

    def post(self, path, body, **headers):
        return self.request("POST", path, body, **{"content-type": "application/json", **headers})


def finished(client, job):
    """The job once it has ended."""
    while job["state"] not in ("succeeded", "failed", "canceled"):
        job = client.request("GET", job["links"]["self"], prefer="wait=60")
    return job


def load(client, name, file, query=""):
    """The finished job that loaded a file as the data set `name`."""
    path, size = f"/v1/datasets/{name}/import?{query}", str(file.stat().st_size)
    with file.open("rb") as body:
        return finished(client, client.request("POST", path, body, prefer="wait=60", content_length=size))


def start(folder):
    """A server over the store in `folder`, once it listens, and its address."""
    line = [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--store", folder]
    child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    words = child.stdout.readline().split()
    url = next(word for word in words if word.startswith("http://"))
    return child, url.removeprefix("http://")


@contextlib.contextmanager
def running():
    """The address and the process id of a server over an empty store, which ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        child, address = start(folder)
        try:
            yield address, child.pid
        finally:
            child.terminate()
            child.wait(30)
