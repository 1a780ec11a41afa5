from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml

from core_repr import cli
from core_repr.campaign import Grid, read_grid
from core_repr.campaign.grid import grid_names, with_options
from core_repr.config import CoReConfig, compact, make_variant, variant_of
from core_repr.config.settings_file import flat, read_settings

GRID: dict[str, Any] = {
    "title": "Small",
    "environments": ["cartpole-swingup"],
    "settings": {"none": {}},
    "env_steps": 1000,
}


def write(folder: Path, **fields: Any) -> str:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**GRID, **fields}))
    return str(path)


def test_a_grid_holds_every_combination(tmp_path: Path) -> None:
    grid = read_grid(
        write(
            tmp_path,
            environments=["cartpole-swingup", "distracting_control/walker-walk-v0"],
            settings={
                "none": {},
                "two": {
                    "arguments": {"difficulty": "hard", "dynamic": True},
                    "training": {"split": "train", "num_videos": 2},
                },
            },
            variants=["core", "curl"],
            changes={"small": {"agent.batch_size": 4}, "usual": {}},
            options={"agent.discount": 0.9},
            seeds=[0, 5],
        )
    )
    cells = grid.cells()
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 2 * 2 * 2
    assert cells[0].name == "cartpole-swingup/none/core+small/seed-0"
    last = cells[-1]
    assert last.name == "distracting_control-walker-walk-v0/two/curl+usual/seed-5"
    settings = last.settings
    assert settings.environment.id == "distracting_control/walker-walk-v0"
    assert settings.environment.arguments == {
        "difficulty": "hard",
        "dynamic": True,
        "frame_size": 72,
    }
    assert settings.environment.training == {"split": "train", "num_videos": 2}
    assert settings.environment.validation == {"split": "val"}
    assert (settings.schedule.seed, settings.schedule.env_steps) == (5, 1000)
    assert settings.config.agent.discount == 0.9 and settings.config.agent.batch_size == 128
    assert variant_of(settings.config) == "curl"
    assert cells[0].settings.config.agent.batch_size == 4


@pytest.mark.parametrize("name", grid_names())
def test_the_package_s_own_grids_are_valid(name: str) -> None:
    grid = read_grid(name)
    assert isinstance(grid, Grid) and grid.title
    cells = grid.cells()
    expected = len(grid.environments) * len(grid.settings) * len(grid.variants) * len(grid.seeds)
    assert len(cells) == expected * max(1, len(grid.changes))
    if name.startswith(("table", "figure")):
        assert grid.preset == "paper" and grid.episodes == 100
        assert grid.env_steps in (500_000, 1_000_000)


def test_a_frame_is_as_large_as_the_variant_needs_it(tmp_path: Path) -> None:
    (cell,) = read_grid(write(tmp_path, variants=["dbc"])).cells()
    assert cell.settings.environment.arguments["frame_size"] == 64


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variants": ["coer"]}, "'coer' is not a variant; expected core"),
        ({"environments": []}, "The grid's field 'environments' does not fit"),
        ({"settings": {}}, "The grid's field 'settings' does not fit"),
        ({"seeds": [0, 0]}, "The grid holds cartpole-swingup/none/core/seed-0 twice."),
        ({"seeds": [-1]}, "The grid's field 'seeds.0' does not fit"),
        ({"env_steps": 0}, "The grid's field 'env_steps' does not fit"),
        ({"wariants": ["core"]}, "wariants"),
        ({"settings": {"../up": {}}}, "settings"),
        (
            {"options": {"agent.batchsize": 3}},
            "'agent.batchsize' is not known",
        ),
        ({"options": {"batch_size": 3}}, "'batch_size' is not a setting: expected a name that"),
        ({"options": {"format_version": 3}}, "'format_version' is not a setting"),
        ({"options": {"agent": 3}}, "The config's field 'agent' does not fit"),
        (
            {"options": {"agent.learning_starts": 9}, "changes": {"a": {"agent": 3}}},
            "The config's field 'agent' does not fit",
        ),
        ({"options": {"objectives.kl": None, "objectives.kl.weight": 1}}, "lacks the field 'objec"),
        ({"options": {"agent.discount": date(2020, 1, 1)}}, "A setting has a value that is not"),
        ({"options": {"agent.batch_size": -3}}, "batch_size"),
        ({"settings": {"x": {"arguments": {"dificulty": "easy"}}}}, "dificulty"),
        ({"settings": {"x": {"arguments": {"difficulty": "mild"}}}}, "'mild' is unknown"),
        ({"env_steps": 500, "settings": {"x": {"training": {"split": "test"}}}}, "'test'"),
        ({"environments": ["cartpole-swimup"]}, "cartpole-swimup"),
        ({"environments": ["nowhere/Door-v0"]}, "nowhere/Door"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, Any], message: str
) -> None:
    typed = ["campaign", write(tmp_path, **fields), "--folder", str(tmp_path / "out")]
    assert cli.main(typed) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not [path for path in (tmp_path / "out").glob("*") if path.is_dir()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "is not a grid: expected names and values"),
        ("seeds: [0\n", "is not valid YAML"),
        ("!!python/object/apply:os.system ['true']\n", "is not valid YAML"),
        ("seeds: [0]\nseeds: [1]\n", "line 2, is not valid YAML: 'seeds' stands twice"),
        ("seeds: [0]\n", "The grid lacks the field 'title'"),
    ],
)
def test_what_is_no_grid_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_grid(tmp_path / "grid.yaml")


def test_a_grid_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(FileNotFoundError, match="one of compact, figure10, figure11"):
        read_grid("table9")


def test_options_reach_every_part() -> None:
    config = make_variant(compact(), "gated")
    changed = with_options(config, {"world_model.encoder.gate.bounded": False})
    assert changed.world_model.encoder.gate == dataclasses.replace(
        config.world_model.encoder.gate, bounded=False
    )
    assert with_options(config, {"agent.actor_layers": [8, 9]}).agent.actor_layers == (8, 9)
    assert with_options(config, {"objectives.reward": None}).objectives.reward is None
    # Settings that must fit each other are changed together.
    encoder = {"world_model.encoder.filters": [8], "world_model.encoder.strides": [2]}
    assert with_options(config, encoder).world_model.encoder.filters == (8,)
    with pytest.raises(ValueError, match=r"'world_model.encoder.gait' is not known"):
        with_options(config, {"world_model.encoder.gait.x": 1})


@pytest.mark.parametrize("variant", ["core", "recon", "sac-rad"])
@pytest.mark.parametrize(
    "settings",
    [
        {"world_model": {"frame_size": 84}, "objectives": {"reward": {"weight": 0.1}}},
        {"world_model": {"frame_size": 84, "crop_size": 72}, "agent": {"batch_size": 4}},
        {"objectives": {"reward": None}, "augmentation": {"shift": 2}},
        {
            "objectives": {
                "frames": {
                    "kind": "contrastive",
                    "weight": 0.5,
                    "layers": [8],
                    "decoded": "posterior",
                    "negatives": "mini-batch",
                    "inverse_temperature": None,
                    "proprioception": False,
                }
            }
        },
        {"objectives": {"frames": {"kind": "reconstruction"}}},
        {"agent": {"batch_size": -3}},
    ],
)
def test_nested_options_are_those_of_a_file_of_settings(
    tmp_path: Path, settings: dict[str, Any], variant: str
) -> None:
    """A part of another kind must be whole in both, and everything else stays in both."""
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    base = make_variant(compact(), variant)

    def outcome(made: Callable[[], CoReConfig]) -> CoReConfig | str:
        try:
            return made()
        except ValueError as error:
            return str(error).removeprefix(f"{path}: ")

    expected = outcome(lambda: read_settings(path, base))

    def of_grid(**fields: Any) -> CoReConfig:
        (cell,) = read_grid(write(tmp_path, variants=[variant], **fields)).cells()
        return cell.settings.config

    assert outcome(lambda: of_grid(options=settings)) == expected
    assert outcome(lambda: of_grid(changes={"one": settings})) == expected
    dotted = dict(flat(settings))
    if not isinstance(expected, str):
        assert outcome(lambda: of_grid(options=dotted)) == expected


def test_a_change_goes_before_the_options_setting_by_setting(tmp_path: Path) -> None:
    options = {"objectives": {"kl": {"weight": 0.5, "free_nats": 2.0}}, "agent.batch_size": 4}
    changes = {"a": {"objectives.kl.weight": 0.25, "agent": {"discount": 0.9}}}
    (cell,) = read_grid(write(tmp_path, options=options, changes=changes)).cells()
    config, usual = cell.settings.config, compact()
    assert config.objectives == dataclasses.replace(
        usual.objectives, kl=dataclasses.replace(usual.objectives.kl, weight=0.25, free_nats=2.0)
    )
    assert config.agent == dataclasses.replace(usual.agent, batch_size=4, discount=0.9)


def test_the_grid_is_shown_without_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, settings={"none": {"arguments": {"frame_size": 24}}})
    assert cli.main(["campaign", path, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "cartpole-swingup/none/core/seed-0",
        "1 trainings of 1,000 environment steps",
    ]
    assert cli.main(["campaign", "list"]) == 0
    assert "table3: Table 3, every system under medium distractions" in capsys.readouterr().out


def test_environments_of_one_s_own_go_by_their_id(tmp_path: Path) -> None:
    assert "core-repr-tests/Pixels-v0" in gym.registry
    setting = {"arguments": {"length": 6}, "training": {}, "validation": {"length": 4}}
    path = write(tmp_path, environments=["core-repr-tests/Pixels-v0"], settings={"x": setting})
    (cell,) = read_grid(path).cells()
    cell.check()
    assert cell.name == "core-repr-tests-Pixels-v0/x/core/seed-0"
    assert cell.settings.environment.arguments == {"length": 6}


def test_the_grid_of_the_documentation_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "campaign.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "grid.yaml").write_text(text.replace("my/Reach-v0", "cartpole-swingup"))
    assert len(read_grid(tmp_path / "grid.yaml").cells()) == 2 * 2 * 2 * 3
    fields = {field.name for field in dataclasses.fields(Grid)}
    table = page[page.index("| field |") : page.index("All of it is checked")]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == fields
