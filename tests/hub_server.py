"""A Hugging Face Hub on loopback, as far as `huggingface_hub` asks it to store and to give back models.

It speaks: whoami, making repositories and branches, the check of a front matter, preupload, LFS batch and upload,
commit, pull request, listing, download and collections. Everything is kept in memory.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_" + "a" * 34
OWNER = "me"
SOURCE = str(Path(__file__).parents[1] / "src")


@dataclass
class Repository:
    """Branches, each with its commit and its files: content, and whether it is stored by LFS."""

    private: bool = False
    branches: dict = field(default_factory=lambda: {"main": ("0" * 40, {})})


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: by id.
        objects: contents stored by LFS, by SHA-256.
        collections: by slug, lists of ids of models.
        calls: each request: method and path without what follows `?`.
        failures: (method, part of the path) -> how many times to answer with a failure instead.
        status: of such an answer; 400 is not tried again by the client.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.objects, self.collections = {}, {}, {}
        self.calls, self.failures, self.status = [], {}, 400
        self.lock = threading.Lock()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def run_command(self, arguments, home):
        """Run `rna-hf` in a process of its own that asks this hub, and return it once it has ended well."""
        environment = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "PYTHONPATH": SOURCE}
        command = [sys.executable, "-m", "rna_hf.cli.main", *arguments]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    def count(self, method, part):
        """Return how many requests there were."""
        return sum(one == method and part in path for one, path in self.calls)

    def files(self, repository, branch="main"):
        """Return a branch's files: name -> content."""
        return {name: content for name, (content, _) in self.repositories[repository].branches[branch][1].items()}


@contextmanager
def running_hub():
    """Start a hub and stop it at the end."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def blob_id(content):
    """Return git's identifier of a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *arguments):
        pass

    # Answers

    def _send(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if "Content-Length" not in dict(headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, content, status=200):
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status, code, message):
        self._send(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})

    # Requests

    def _handle(self):
        url = urlsplit(self.path)
        self.parts = [unquote(part) for part in url.path.strip("/").split("/")]
        self.query = parse_qs(url.query)
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else b""
        with self.server.lock:
            self.server.calls.append((self.command, url.path))
            for (method, part), times in self.server.failures.items():
                if times and method == self.command and part in url.path:
                    self.server.failures[method, part] = times - 1
                    self._refuse(self.server.status, "Broken", "the server is broken")
                    return
            self._dispatch(body)

    do_GET = do_POST = do_PUT = do_HEAD = _handle

    @property
    def _is_known(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _dispatch(self, body):
        parts = self.parts
        if parts[0] == "lfs" and self.command == "PUT":
            if hashlib.sha256(body).hexdigest() != parts[1]:
                self._refuse(400, "BadHash", "another content than announced")
                return
            self.server.objects[parts[1]] = body
            self._send(200)
        elif parts[-3:] == ["lfs", "objects", "batch"]:
            self._batch(json.loads(body))
        elif parts[0] != "api":
            self._resolve()
        elif parts[1] == "whoami-v2":
            self._whoami()
        elif parts[1] == "validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif self.command == "POST" and not self._is_known:
            self._refuse(401, "Unauthorized", "no token that is known")
        elif parts[1:] == ["repos", "create"]:
            self._create(json.loads(body))
        elif parts[1] == "collections":
            self._collection(json.loads(body))
        else:
            self._model("/".join(parts[2:4]), parts[4:], body)

    def _whoami(self):
        if not self._is_known:
            self._refuse(401, "Unauthorized", "Invalid username or password.")
            return
        self._json({"type": "user", "name": OWNER, "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def _create(self, content):
        owner = content.get("organization") or OWNER
        name = f"{owner}/{content['name']}"
        if owner not in (OWNER, "friends"):
            self._refuse(403, "Forbidden", f"You don't have the rights to create a model under {owner!r}")
        elif name in self.server.repositories:
            self._json({"error": "You already created this model repo", "url": f"{self.server.endpoint}/{name}"}, 409)
        else:
            self.server.repositories[name] = Repository(bool(content.get("private") or content.get("visibility")))
            self._json({"url": f"{self.server.endpoint}/{name}"})

    def _collection(self, content):
        if len(self.parts) == 2:
            slug = f"{content['namespace']}/{content['title'].lower().replace(' ', '-')}-0123456789abcdef"
            status = 409 if slug in self.server.collections else 200
            self.server.collections.setdefault(slug, [])
        else:
            slug, status = "/".join(self.parts[2:4]), 200
            if slug not in self.server.collections:
                self._refuse(404, "NotFound", "Collection not found")
                return
            self.server.collections[slug].append(content["item"]["id"])
        owner = {"name": slug.split("/")[0], "type": "user"}
        self._json(
            {
                "slug": slug,
                "title": content.get("title", ""),
                "owner": owner,
                "items": [],
                "lastUpdated": "2026-01-01T00:00:00.000Z",
                "position": 0,
                "private": False,
                "theme": "blue",
                "upvotes": 0,
                "gating": False,
            },
            status,
        )

    def _find(self, name):
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self._is_known):
            self._refuse(404, "RepoNotFound", "Repository not found")
            return None
        return repository

    def _branch(self, repository, revision):
        """Return commit and files of a branch, or of a commit; None after an answer."""
        if revision in repository.branches:
            return repository.branches[revision]
        for commit, files in repository.branches.values():
            if commit == revision:
                return commit, files
        self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def _model(self, name, rest, body):
        repository = self._find(name)
        if repository is None:
            return
        kind = rest[0] if rest else "info"
        if kind == "branch":
            if rest[1] in repository.branches:
                self._json({"error": "Reference already exists"}, 409)
                return
            repository.branches[rest[1]] = repository.branches["main"]
            self._json({})
            return
        found = self._branch(repository, rest[1] if len(rest) > 1 else "main")
        if found is None:
            return
        commit, files = found
        if kind in ("info", "revision"):
            siblings = [{"rfilename": file} for file in sorted(files)]
            self._json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings, "tags": []})
        elif kind == "tree":
            self._json([self._describe(file, *files[file]) for file in sorted(files)])
        elif kind == "paths-info":
            wanted = json.loads(body)["paths"]
            self._json([self._describe(file, *files[file]) for file in wanted if file in files])
        elif kind == "preupload":
            self._json({"files": [self._choose(file, files) for file in json.loads(body)["files"]]})
        elif kind == "commit":
            self._commit(name, repository, rest[1], dict(files), body)
        else:
            self._refuse(404, "NotFound", f"the hub of the tests does not know {self.path}")

    @staticmethod
    def _describe(name, content, is_lfs):
        described = {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
        if is_lfs:
            described["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return described

    @staticmethod
    def _choose(file, files):
        is_lfs = file["path"].endswith((".safetensors", ".bin"))
        chosen = {"path": file["path"], "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
        if file["path"] in files:
            content, was_lfs = files[file["path"]]
            chosen["oid"] = hashlib.sha256(content).hexdigest() if was_lfs else blob_id(content)
        return chosen

    def _batch(self, content):
        objects = []
        for one in content["objects"]:
            answer = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.server.objects:
                answer["actions"] = {"upload": {"href": f"{self.server.endpoint}/lfs/{one['oid']}"}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, name, repository, branch, files, body):
        lines = [json.loads(line) for line in body.splitlines()]
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = (base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.server.objects:
                    self._refuse(400, "Missing", f"{value['path']} was not uploaded")
                    return
                files[value["path"]] = (self.server.objects[value["oid"]], True)
        commit = hashlib.sha1(body).hexdigest()
        answer = {"success": True, "commitOid": commit, "commitUrl": f"{self.server.endpoint}/{name}/commit/{commit}"}
        if "create_pr" in self.query:
            branch = "refs/pr/1"
            answer["pullRequestUrl"] = f"{self.server.endpoint}/{name}/discussions/1"
        repository.branches[branch] = (commit, files)
        self._json(answer)

    def _resolve(self):
        """Give a file: /OWNER/NAME/resolve/REVISION/PATH."""
        repository = self._find("/".join(self.parts[:2]))
        if repository is None:
            return
        found = self._branch(repository, self.parts[3])
        if found is None:
            return
        commit, files = found
        name = "/".join(self.parts[4:])
        if name not in files:
            self._refuse(404, "EntryNotFound", f"{name} not found")
            return
        content, is_lfs = files[name]
        etag = hashlib.sha256(content).hexdigest() if is_lfs else blob_id(content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Content-Type": "application/octet-stream"}
        if is_lfs:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        start = 0
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers["Content-Length"] = str(len(content) - start)
        self._send(206 if start else 200, content[start:], headers)
