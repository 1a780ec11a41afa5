import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from core_repr.config import (
    PRESETS,
    VARIANTS,
    EnvironmentConfig,
    WrapperConfig,
    make_variant,
    variant_of,
)
from core_repr.environments import changed
from core_repr.evaluation import Evaluation
from core_repr.evaluation.results import (
    COLUMNS,
    Training,
    append,
    check_table,
    discard,
    read_table,
)

ENVIRONMENT = EnvironmentConfig("an/Env-v0", {"split": "train", "level": 3}, (-1.0,), (1.0,), 4)
TRAINING = Training("mine", "rsac", 100_000, 7, "abc")


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_each_evaluation_is_a_row(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    several = Evaluation((1.0, 2.0, 6.0), (9, 9, 9), (4, 5, 6))
    append(table, TRAINING, changed(ENVIRONMENT, {"split": "val"}), several)
    append(table, Training("other", "core"), ENVIRONMENT, Evaluation((5.0,), (9,), (0,)))
    first, second = rows(table)
    assert tuple(first) == COLUMNS
    assert json.loads(first["arguments"]) == {"split": "val", "level": 3}
    assert (first["model"], first["variant"], first["env_steps"]) == ("mine", "rsac", "100000")
    assert (first["training_seed"], first["commit"]) == ("7", "abc")
    assert (first["episodes"], first["first_seed"], first["mean"]) == ("3", "4", "3")
    assert float(first["standard_error"]) == pytest.approx(math.sqrt(7 / 3), rel=1e-3)
    assert second["standard_error"] == second["env_steps"] == second["training_seed"] == ""


def test_wrappers_are_told_with_the_arguments(tmp_path: Path) -> None:
    wrapped = replace(ENVIRONMENT, wrappers=(WrapperConfig("mine.Tint", {"red": (1, 2)}),))
    append(tmp_path / "results.csv", TRAINING, wrapped, Evaluation((5.0,), (9,), (0,)))
    assert json.loads(rows(tmp_path / "results.csv")[0]["arguments"]) == {
        "arguments": {"split": "train", "level": 3},
        "wrappers": [{"name": "mine.Tint", "arguments": {"red": {"$tuple": [1, 2]}}}],
    }


def test_another_file_is_refused_and_stays(tmp_path: Path) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="does not begin with the columns model, variant"):
        append(notes, TRAINING, ENVIRONMENT, Evaluation((5.0,), (9,), (0,)))
    assert notes.read_text() == "a,b\n1,2\n"
    with pytest.raises(FileNotFoundError, match="no folder"):
        check_table(tmp_path / "missing" / "results.csv")


def test_a_row_that_was_torn_is_cut_before_the_next_one(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    evaluation = Evaluation((5.0,), (9,), (0,))
    append(table, TRAINING, ENVIRONMENT, evaluation)
    whole = table.read_bytes()
    append(table, replace(TRAINING, seed=8), ENVIRONMENT, evaluation)
    both = table.read_bytes()
    for size in range(len(whole) + 1, len(both)):
        table.write_bytes(both[:size])
        with pytest.raises(ValueError, match=r"results.csv, line 3, has no line end"):
            list(read_table(table))
        with pytest.warns(UserWarning, match=r"results.csv has no line end.* is cut: 'm"):
            append(table, replace(TRAINING, seed=8), ENVIRONMENT, evaluation)
        assert table.read_bytes() == both
    # What a power cut left of the first line of all, and a file that is empty.
    table.write_bytes(whole[:20])
    with pytest.warns(UserWarning, match="is cut"):
        append(table, TRAINING, ENVIRONMENT, evaluation)
    assert table.read_bytes() == whole
    table.write_bytes(b"")
    append(table, TRAINING, ENVIRONMENT, evaluation)
    assert table.read_bytes() == whole


@pytest.mark.parametrize("line", [b"a,b", b"\xff" * 3, b"\0" * 30, b'"a', b"," * 11])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: bytes) -> None:
    table = tmp_path / "results.csv"
    append(table, TRAINING, ENVIRONMENT, Evaluation((5.0,), (9,), (0,)))
    table.write_bytes(table.read_bytes() + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match=r"results.csv, line 4, is not a row of results"):
        list(read_table(table))


def test_a_row_is_discarded_and_the_others_stay_as_they_are(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    discard(table, TRAINING)
    assert not table.exists()
    evaluation = Evaluation((5.0,), (9,), (0,))
    for training in (replace(TRAINING, env_steps=5), replace(TRAINING, model="other")):
        append(table, training, ENVIRONMENT, evaluation)
    before = table.read_bytes()
    append(table, TRAINING, ENVIRONMENT, evaluation)
    append(table, replace(TRAINING, model="third"), ENVIRONMENT, evaluation)
    discard(table, TRAINING)
    discard(table, replace(TRAINING, model="third"))
    assert table.read_bytes() == before


@pytest.mark.parametrize("preset", PRESETS)
def test_a_config_tells_which_system_it_is(preset: str) -> None:
    for name in VARIANTS:
        # Whether critics teach the model is a setting, which differs between presets.
        expected = "core" if name == "no-critic-gradient" else name
        assert variant_of(make_variant(PRESETS[preset](), name)) == expected
