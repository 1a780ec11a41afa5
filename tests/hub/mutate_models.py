"""Loads mutated copies of a model folder and reports what became of them.

Run as a process of its own, so that its memory and its writes are its own:
``python mutate_models.py FOLDER COUNT SEED``. Prints a line of JSON. A folder with an agent is
loaded as an agent.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core_repr.world_model import CoReWorldModel

CONFIG, WEIGHTS, AGENT = "config.json", "model.safetensors", "agent.safetensors"
HOSTILE: list[Any] = [
    None, True, "", "x" * 5_000, "\ud800", "a:b", "../../etc/passwd", 0, -1, 1, 2, 16_384, 16_385,
    2**31, 2**63, 2**64, 10**400, 1e308, -1e-308, 0.5, float("nan"), float("inf"), [], {}, [[]],
    [16_384] * 16, [1] * 20_000, {"a": {"a": {}}}, "F64", "BF16", "Q8", [0, 0], [2**63, 2**63],
]  # fmt: skip


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all places in a JSON tree."""
    if isinstance(tree, dict):
        items: list[tuple[Any, Any]] = list(tree.items())
    else:
        items = list(enumerate(tree)) if isinstance(tree, list) else []
    below = [place for key, value in items for place in leaves(value, (*path, key))]
    return [(*path, key) for key, _ in items] + below


def mutate_tree(tree: Any, rng: random.Random) -> str:
    """Changes, removes, doubles or adds something, and returns JSON text."""
    tree = copy.deepcopy(tree)
    *parents, key = rng.choice(leaves(tree))
    part = tree
    for parent in parents:
        part = part[parent]
    kind = rng.randrange(6)
    if kind == 0:
        del part[key]
    elif kind == 1 and isinstance(part, dict):
        part[rng.choice(["extra", "__class__", "\x00", key + " "])] = part[key]
    elif kind == 2:
        number = part[key]
        part[key] = (
            number + rng.choice([-1, 1, 0.5]) if isinstance(number, int | float) else [number]
        )
    elif kind == 3:
        text = json.dumps(tree)
        return text.replace("{", '{"format_version": 1, "format_version": 1,', rng.randrange(1, 3))
    elif kind == 4:
        depth = rng.choice([40, 2_000, 100_000])
        part[key] = "NESTED"
        return json.dumps(tree).replace('"NESTED"', "[" * depth + "]" * depth)
    else:
        part[key] = rng.choice(HOSTILE)
    return json.dumps(tree)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flips, cuts, doubles or inserts bytes."""
    data = bytearray(content)
    start = rng.choice([rng.randrange(len(data)), rng.randrange(min(len(data), 3_000))])
    end = min(len(data), start + rng.choice([1, 2, 8, 100, 10_000]))
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.choice([1, 1, 3, 30])):
            data[rng.choice([start, rng.randrange(len(data))])] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[start:]
    elif kind == 2:
        del data[start:end]
    elif kind == 3:
        data[start:start] = data[start:end]
    elif kind == 4:
        data += bytes(rng.choice([1, 8, 4_096]))
    else:
        data[start:end] = rng.randbytes(end - start)
    return bytes(data)


def mutate_header(content: bytes, rng: random.Random) -> bytes:
    """Changes the header of a safetensors file, whose length then fits or does not."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = mutate_tree(header, rng).encode()
    stated = rng.choice([len(text)] * 8 + [0, len(text) + 1, 2**31, 2**63, 2**64 - 1])
    return stated.to_bytes(8, "little") + text + content[8 + length :]


def mutate_folder(folder: Path, outside: Path, rng: random.Random) -> None:
    """Puts something else where a file should be."""
    path = folder / rng.choice([CONFIG, WEIGHTS])
    (outside / path.name).unlink(missing_ok=True)
    other = folder / (WEIGHTS if path.name == CONFIG else CONFIG)
    kind = rng.randrange(7)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.unlink()
        path.mkdir()
    elif kind == 2:
        path.rename(outside / path.name)
        path.symlink_to(outside / path.name)
    elif kind == 3:
        path.unlink()
        path.symlink_to(path.name)
    elif kind == 4:
        path.unlink()
        os.mkfifo(path)
    elif kind == 5:
        with open(path, "r+b") as file:
            file.truncate(rng.choice([0, 10**7, 2 * 10**12]))
    else:
        shutil.copyfile(other, path)


def mutate(folder: Path, outside: Path, rng: random.Random) -> None:
    config = folder / CONFIG
    weights = rng.choice([path for name in (WEIGHTS, AGENT) if (path := folder / name).exists()])
    kind = rng.randrange(10)
    if kind < 3:
        tree = json.loads(config.read_text())
        config.write_bytes(mutate_tree(tree, rng).encode("utf-8", "surrogatepass"))
    elif kind == 3:
        config.write_bytes(mutate_bytes(config.read_bytes(), rng))
    elif kind < 6:
        weights.write_bytes(mutate_header(weights.read_bytes(), rng))
    elif kind < 9:
        weights.write_bytes(mutate_bytes(weights.read_bytes(), rng))
    else:
        mutate_folder(folder, outside, rng)


def watch(folder: Path) -> list[str]:
    """Notes what code may do only if a file made it: unpickle, start processes, write elsewhere."""
    seen: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("pickle.find_class", "subprocess.Popen", "os.system", "socket.connect"):
            seen.append(event)
        elif event == "open" and isinstance(arguments[0], str) and watching[0]:
            writes = isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            if writes and not os.path.abspath(arguments[0]).startswith(str(folder)):
                seen.append(f"write {arguments[0]}")

    watching = [False]
    watch.on = lambda on: watching.__setitem__(0, on)  # type: ignore[attr-defined]
    sys.addaudithook(note)
    return seen


def loader(folder: Path) -> Callable[[Path], dict[str, torch.Tensor]]:
    """Loads what the folder holds, and returns its weights."""
    if not (folder / AGENT).exists():
        return lambda path: CoReWorldModel.from_pretrained(path).state_dict()
    from core_repr.agent import CoReSAC

    return lambda path: CoReSAC.from_pretrained(path, device="cpu").policy.state_dict()


def main(original: Path, count: int, seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    load = loader(original)
    weights = load(original)
    outside = original.parent / "outside"
    outside.mkdir()
    folder = original.parent / "mutated"
    seen = watch(folder)
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(count):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        mutate(folder, outside, rng)
        set_watching: Callable[[bool], None] = watch.on  # type: ignore[attr-defined]
        set_watching(True)
        try:
            state = load(folder)
        except (ValueError, OSError) as error:
            message = str(error)
            outcomes[type(error).__name__] += 1
            if "\n" in message or len(message) > 1_000 or not message.isprintable():
                wrong.append(f"{number}: {message!r}")
        except BaseException as error:
            wrong.append(f"{number}: {error!r}")
        else:
            outcomes["loaded"] += 1
            if any(not torch.equal(state[name], tensor) for name, tensor in weights.items()):
                wrong.append(f"{number}: other weights")
        set_watching(False)
    # Not getrusage, which also counts what the parent held when it made this process.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    memory = int(peak) / 1024
    return {"outcomes": outcomes, "wrong": wrong[:20], "seen": seen[:20], "memory": memory}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
