"""The Hub's API: repositories, files, uploads and the validation of cards."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import yaml
from cards import card_errors
from handlers import Handler, Refusal
from repositories import File, Repository, is_large

YAML_BLOCK = re.compile(r"^\s*---\n(.*?)\n---", re.DOTALL)


class Api(Handler):
    def route(self, path: str) -> None:
        for pattern, handle in ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                handle(self, **found.groupdict())
                return
        raise Refusal(404, "Sorry, we can't find the page you are looking for.")

    # Who asks, and what may be seen

    def user(self, write: bool = False) -> str | None:
        header = self.headers.get("Authorization", "")
        token = header.removeprefix("Bearer ")
        if header and token not in self.hub.tokens and token not in self.hub.readers:
            raise Refusal(401, "Invalid credentials in Authorization header")
        if write and not header:
            raise Refusal(401, "Invalid username or password.")
        if write and token in self.hub.readers:
            raise Refusal(403, "You don't have the rights to create a model under this namespace")
        return self.hub.tokens.get(token, "reader") if header else None

    def repository(self, name: str, write: bool = False) -> Repository:
        user = self.user(write)
        found = self.hub.repositories.get(name)
        owner = user == name.split("/")[0]
        if found is None or (found.private and not owner):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        return found

    def files(self, name: str, revision: str) -> tuple[str, dict[str, File]]:
        repository = self.repository(name)
        commit = repository.resolve(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit, repository.commits[commit]

    # Repositories

    def create(self) -> None:
        user, asked = self.user(write=True), json.loads(self.body)
        owner = asked["organization"] or user
        name = f"{owner}/{asked['name']}"
        if owner != user:
            raise Refusal(403, f"You don't have the rights to create a model under {owner}")
        url = f"{self.hub.endpoint}/{name}"
        if name in self.hub.repositories:
            raise Refusal(409, "You already created this model repo", url=url)
        private = asked.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private=private)
        self.answer({"url": url, "name": name})

    def info(self, name: str, revision: str = "main") -> None:
        commit, files = self.files(name, revision)
        repository = self.repository(name)
        siblings = [{"rfilename": path} for path in files]
        self.answer(
            {
                "_id": "0",
                "id": name,
                "modelId": name,
                "author": name.split("/")[0],
                "sha": commit,
                "private": repository.private,
                "gated": repository.gated,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": siblings,
                "createdAt": "2026-01-01T00:00:00.000Z",
                "lastModified": "2026-01-01T00:00:00.000Z",
            }
        )

    def refs(self, name: str) -> None:
        groups: dict[str, list[dict[str, str]]] = {
            "branches": [],
            "converts": [],
            "tags": [],
            "pullRequests": [],
        }
        kinds = {"heads": "branches", "tags": "tags", "pr": "pullRequests"}
        for ref, commit in self.repository(name).refs.items():
            _, kind, short = ref.split("/", 2)
            shown = {"name": short, "ref": ref, "targetCommit": commit}
            groups[kinds[kind]].append(shown)
        self.answer(groups)

    def branch(self, name: str, branch: str) -> None:
        self.point(
            name, f"refs/heads/{branch}", json.loads(self.body or b"{}").get("startingPoint")
        )

    def tag(self, name: str, revision: str) -> None:
        self.point(name, f"refs/tags/{json.loads(self.body)['tag']}", revision)

    def point(self, name: str, ref: str, revision: str | None) -> None:
        repository = self.repository(name, write=True)
        if ref in repository.refs:
            raise Refusal(409, f"Reference {ref} already exists")
        repository.refs[ref] = self.files(name, revision or "main")[0]
        self.answer({})

    def tree(self, name: str, revision: str) -> None:
        _, files = self.files(name, revision)
        self.answer([file.listing(path) for path, file in files.items()])

    def paths_info(self, name: str, revision: str) -> None:
        _, files = self.files(name, revision)
        asked = parse_qs(self.body.decode())["paths"]
        self.answer([files[path].listing(path) for path in asked if path in files])

    # Downloads

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.repository(name)
        if repository.gated and self.user() != name.split("/")[0]:
            raise Refusal(403, "Access to this model is restricted", "GatedRepo")
        commit, files = self.files(name, revision)
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        file = files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if not file.large:
            self.answer_range(file.content, headers)
            return
        self.answer(
            b"",
            302,
            {
                **headers,
                "X-Linked-Size": str(len(file.content)),
                "X-Linked-Etag": f'"{file.sha256}"',
                "Location": f"{self.hub.cdn.address}/object/{file.sha256}",
            },
        )

    # Uploads

    def preupload(self, name: str, revision: str) -> None:
        self.repository(name, write=self.query.get("create_pr") is None)
        _, files = self.files(name, revision)
        self.answer(
            {
                "files": [
                    {
                        "path": asked["path"],
                        "uploadMode": "lfs" if is_large(asked["path"]) else "regular",
                        "shouldIgnore": False,
                        "oid": files[asked["path"]].etag if asked["path"] in files else None,
                    }
                    for asked in json.loads(self.body)["files"]
                ]
            }
        )

    def lfs_batch(self, name: str) -> None:
        self.repository(name)
        assert self.user() is not None
        asked = json.loads(self.body)
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        self.answer(
            {
                "transfer": "basic",
                "objects": [self.actions(name, entry) for entry in asked["objects"]],
            }
        )

    def actions(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        oid, size = entry["oid"], entry["size"]
        if oid in self.hub.objects:
            return {"oid": oid, "size": size}
        upload: dict[str, Any] = {"href": f"{self.hub.cdn.address}/upload/{oid}"}
        if size >= self.hub.multipart_from:
            chunk = self.hub.multipart_from // 2
            parts = -(-size // chunk)
            upload = {
                "href": f"{self.hub.cdn.address}/complete/{oid}",
                "header": {"chunk_size": str(chunk)}
                | {str(n): f"{self.hub.cdn.address}/part/{oid}/{n}" for n in range(1, parts + 1)},
            }
        verify = {"href": f"{self.hub.endpoint}/api/models/{name}/verify"}
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}

    def verify(self, name: str) -> None:
        asked = json.loads(self.body)
        if len(self.hub.objects.get(asked["oid"], b"")) != asked["size"]:
            raise Refusal(422, "The object has not arrived whole")
        self.answer({})

    def commit(self, name: str, revision: str) -> None:
        create_pr = self.query.get("create_pr") is not None
        repository = self.repository(name, write=not create_pr)
        self.user(write=False)
        header, *lines = [json.loads(line) for line in self.body.splitlines()]
        changes = dict(self.change(line["key"], line["value"]) for line in lines)
        ref = f"refs/heads/{revision}"
        if create_pr:
            base = repository.refs[ref]
            ref = f"refs/pr/{repository.pull_requests + 1}"
            repository.refs[ref] = base
        elif ref not in repository.refs:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        parent = header["value"].get("parentCommit")
        if parent is not None and parent != repository.refs[ref]:
            raise Refusal(412, "A commit has happened since.")
        sha = repository.commit(ref, changes, header["value"]["summary"])
        answer = {"success": True, "commitOid": sha}
        answer["commitUrl"] = f"{self.hub.endpoint}/{name}/commit/{sha}"
        if create_pr:
            number = ref.rsplit("/", 1)[1]
            answer["pullRequestUrl"] = f"{self.hub.endpoint}/{name}/discussions/{number}"
        self.answer(answer)

    def change(self, key: str, value: dict[str, Any]) -> tuple[str, File | None]:
        if key == "deletedFile":
            return value["path"], None
        if key == "file":
            return value["path"], File(base64.b64decode(value["content"]), large=False)
        if value["oid"] not in self.hub.objects:
            raise Refusal(400, f"The object of {value['path']} was not uploaded")
        return value["path"], File(self.hub.objects[value["oid"]], large=True)

    # Cards

    def validate_yaml(self) -> None:
        block = YAML_BLOCK.match(json.loads(self.body)["content"])
        errors = ["There is no metadata block"] if block is None else []
        if block is not None:
            try:
                errors = list(card_errors(yaml.safe_load(block[1])))
            except yaml.YAMLError as error:
                errors = [f"YAML: {error}"]
        messages = [{"message": message} for message in errors]
        self.answer({"errors": messages, "warnings": []}, 400 if errors else 200)


NAME = r"(?P<name>[^/]+/[^/]+)"
API = rf"/api/models/{NAME}"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"POST /api/repos/create", Api.create),
    (r"POST /api/validate-yaml", Api.validate_yaml),
    (rf"GET {API}", Api.info),
    (rf"GET {API}/revision/(?P<revision>.+)", Api.info),
    (rf"GET {API}/refs", Api.refs),
    (rf"GET {API}/tree/(?P<revision>.+)", Api.tree),
    (rf"POST {API}/paths-info/(?P<revision>.+)", Api.paths_info),
    (rf"POST {API}/branch/(?P<branch>.+)", Api.branch),
    (rf"POST {API}/tag/(?P<revision>.+)", Api.tag),
    (rf"POST {API}/preupload/(?P<revision>.+)", Api.preupload),
    (rf"POST {API}/verify", Api.verify),
    (rf"POST {API}/commit/(?P<revision>.+)", Api.commit),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", Api.lfs_batch),
    (
        rf"(GET|HEAD) /{NAME}/resolve/(?P<revision>refs/[a-z]+/[^/]+|[^/]+)/(?P<path>.+)",
        Api.resolve,
    ),
]
