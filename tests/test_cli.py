import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from core_repr import cli, training, zoo
from core_repr.config import PRESETS, CoReConfig, WrapperConfig, make_variant
from core_repr.environments import EnvironmentChoice
from core_repr.hub.model_folder import load_config
from core_repr.training import Schedule


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What ``core-repr train`` asks for, instead of a training."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "train", lambda *arguments, **_: asked.append(arguments))
    return asked


def test_train_with_its_defaults(trainings: list[tuple[Any, ...]]) -> None:
    assert cli.main(["train"]) == 0
    ((choice, config, run, schedule, device, origin),) = trainings
    assert origin is None
    assert choice == EnvironmentChoice(
        "distracting_control/cartpole-swingup-v0",
        {"difficulty": "easy", "dynamic": True, "backgrounds": "procedural", "frame_size": 72},
        {"split": "train"},
        {"split": "val"},
    )
    assert config == PRESETS["compact"]()
    assert run == Path("runs/cartpole-swingup-easy/seed-0")
    assert schedule == Schedule() and device == "auto"


def test_several_seeds_are_a_run_each(trainings: list[tuple[Any, ...]]) -> None:
    assert cli.main(["train", "--seed", "0", "2", "--env-steps", "10000"]) == 0
    assert [(run.name, schedule.seed) for _, _, run, schedule, *_ in trainings] == [
        ("seed-0", 0),
        ("seed-2", 2),
    ]
    assert cli.main(["train", "--seed", "1", "3", "--run", "here"]) == 0
    assert [run for _, _, run, *_ in trainings[2:]] == [Path("here/seed-1"), Path("here/seed-3")]
    assert cli.main(["train", "--seed"]) == 1


def test_settings_from_a_file(
    trainings: list[tuple[Any, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = tmp_path / "some.yaml"
    some.write_text("agent: {batch_size: 4}\nobjectives:\n  kl: {weight: 0.5}\n")
    typed = ["train", "--config", str(some), "--agent.sequence-length", "16"]
    assert cli.main(typed) == 0
    config, usual = trainings[-1][1], PRESETS["compact"]()
    assert (config.agent.batch_size, config.agent.sequence_length) == (4, 16)
    assert config.objectives.kl.weight == 0.5
    assert config.world_model == usual.world_model
    assert config.objectives.reward == usual.objectives.reward
    # The crop keeps its share of the frame, as on the command line.
    larger = tmp_path / "larger.yaml"
    for text, crop in (("frame_size: 84", 75), ("frame_size: 84, crop_size: 64", 64)):
        larger.write_text(f"world_model: {{{text}}}\n")
        assert cli.main(["train", "--config", str(larger)]) == 0
        sizes = trainings[-1][1].world_model
        assert (sizes.frame_size, sizes.crop_size) == (84, crop)
    for name in ("yaml", "json"):
        capsys.readouterr()
        shown = ["config", "show", "--preset", "paper", "--variant", "rsac", "--format", name]
        assert cli.main(shown) == 0
        whole = tmp_path / f"whole.{name}"
        whole.write_text(capsys.readouterr().out)
        assert cli.main(["train", "--config", str(whole)]) == 0
        assert trainings[-1][1] == make_variant(PRESETS["paper"](), "rsac")
    assert cli.main(["config", "check", str(some)]) == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "-objectives.kl.weight: 0.01",
        "+objectives.kl.weight: 0.5",
        "-agent.batch_size: 8",
        "+agent.batch_size: 4",
    ]
    # A model's own config, too.
    assert cli.main(["config", "show", "--model", "walker-walk-medium-v1"]) == 0
    of_model = zoo.find("walker-walk-medium-v1") / "config.json"
    assert cli.main(["train", "--config", str(of_model)]) == 0
    assert trainings[-1][1] == load_config(of_model.parent).replace(environment=None)
    # Whatever names every part makes one system.
    assert cli.main(["train", "--config", str(whole), "--variant", "rsac"]) == 0
    assert cli.main(["train", "--config", str(of_model), "--variant", "recon"]) == 1
    assert "names the parts of 'core'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent: {batch: 4}", "'agent.batch' is not known"),
        ("world_model: {frame_size: 0}", "'world_model.frame_size' does not fit"),
        ("agent: {batch_size: 0}", "'agent.batch_size' does not fit"),
        ("agent: {batch_size: [", "line 1, is not valid YAML"),
        ("- agent", "holds no settings"),
        ("batch_size: 4", "holds no settings"),
        ("agent: 4", "agent"),
        ("#" * 1_000_001, "core-repr: {path} is larger than"),
        ("agent: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        ("agent: {batch_size: 4}\nagent: {discount: 0.9}", "line 2, is not valid YAML: 'agent' st"),
        (None, "There is no file"),
    ],
)
def test_settings_that_do_not_fit(
    trainings: list[tuple[Any, ...]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    message: str,
) -> None:
    path = tmp_path / "settings.yaml"
    if text is not None:
        path.write_text(text)
    for typed in (["train", "--config"], ["config", "check"]):
        assert cli.main([*typed, str(path)]) == 1
        error = capsys.readouterr().err
        assert message.replace("{path}", str(path)) in error and len(error.splitlines()) == 1
    assert not trainings


def test_what_is_mistyped_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "no command 'trian'; did you mean train?" in capsys.readouterr().err
    assert cli.main(["xyz"]) == 2
    assert "there are train, evaluate" in capsys.readouterr().err


def test_an_error_in_code_of_ones_own_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("import numpy\nnumpy.zeros(3) + numpy.zeros(4)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert cli.main(["train", "--env", "Mine-v0", "--import", "mine"]) == 1
    error = capsys.readouterr().err
    assert "could not be broadcast" in error and f"({tmp_path / 'mine.py'}, line 2)" in error
    # What is not their code's fault is told without.
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    assert " line " not in capsys.readouterr().err


def test_settings_that_do_not_fit_are_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["train", "--agent.batch-size", "0"]) == 1
    assert capsys.readouterr().err == (
        "core-repr: The config's field 'agent.batch_size' does not fit: input should be greater "
        "than or equal to 1, not 0.\n"
    )
    sizes = ["--world-model.frame-size", "16", "--world-model.crop-size", "16"]
    assert cli.main(["train", *sizes]) == 1
    assert "crop_size 16 is too small" in capsys.readouterr().err
    # What tyro says itself stays as it is.
    with pytest.raises(SystemExit):
        cli.main(["train", "--seed", "x"])
    assert "--seed" in capsys.readouterr().err


def test_every_command_says_what_it_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    told = capsys.readouterr().out
    assert len(told.splitlines()) <= 60
    assert "Evaluates the agent of a model" in told and "Pretrained models" in told


def test_train_with_everything_chosen(trainings: list[tuple[Any, ...]]) -> None:
    typed = """train --run here --task walker-walk --difficulty none --no-dynamic
        --backgrounds videos --action-repeat 3 --env-steps 1000 --seed 4 --evaluation-interval 2
        --evaluation-episodes 3 --device cpu --world-model.frame-size 80
        --agent.actor-layers 64 32 --objectives.kl.weight 0.5"""
    assert cli.main(typed.split()) == 0
    ((choice, config, run, schedule, device, origin),) = trainings
    assert origin is None
    assert choice.id == "distracting_control/walker-walk-v0"
    assert choice.arguments == {
        "difficulty": None,
        "dynamic": False,
        "backgrounds": "videos",
        "frame_size": 80,
        "action_repeat": 3,
    }
    assert (run, device) == (Path("here"), "cpu")
    assert schedule == Schedule(1000, 4, 2, 3)
    assert (config.world_model.frame_size, config.world_model.crop_size) == (80, 71)
    assert config.agent.actor_layers == (64, 32) and config.objectives.kl.weight == 0.5


@pytest.mark.parametrize(
    ("typed", "sides"),
    [
        ("--preset paper --world-model.frame-size 84", (84, 71)),
        ("--world-model.frame-size 84 --world-model.crop-size 80", (84, 80)),
        ("--recipe cartpole-swingup-medium-v0 --world-model.frame-size 84", (84, 75)),
    ],
)
def test_the_crop_follows_the_frame_unless_it_is_set(
    trainings: list[tuple[Any, ...]], typed: str, sides: tuple[int, int]
) -> None:
    assert cli.main(["train", *typed.split()]) == 0
    ((choice, config, *_),) = trainings
    assert (config.world_model.frame_size, config.world_model.crop_size) == sides
    assert choice.arguments["frame_size"] == 84


def test_a_variant_changes_the_parts_and_options_those(trainings: list[tuple[Any, ...]]) -> None:
    typed = "--variant no-recurrence --preset paper --world-model.dynamics.stochastic-size 9"
    assert cli.main(["train", *typed.split()]) == 0
    ((_, config, *_),) = trainings
    expected = make_variant(PRESETS["paper"](), "no-recurrence")
    dynamics = dataclasses.replace(expected.world_model.dynamics, stochastic_size=9)
    assert config.world_model == dataclasses.replace(expected.world_model, dynamics=dynamics)
    assert config.objectives == expected.objectives and config.agent == expected.agent


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--variant rsak", "'rsak' is not a variant; expected rsac"),
        ("--variant rsac --from cartpole-swingup-easy-v0", "leave out --variant"),
        ("--variant rsac --recipe cartpole-swingup-medium-v0", "leave out --variant"),
    ],
)
def test_a_variant_that_does_not_go_is_refused(
    trainings: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], typed: str, words: str
) -> None:
    assert cli.main(["train", *typed.split()]) == 1
    assert words in capsys.readouterr().err and not trainings


@pytest.mark.parametrize("typed", [["--preset", "paper"], ["--preset=paper"]])
def test_the_preset_sets_the_defaults_and_options_change_it(
    trainings: list[tuple[Any, ...]], typed: list[str]
) -> None:
    assert cli.main(["train", *typed, "--agent.batch-size", "8"]) == 0
    ((_, config, *_),) = trainings
    paper = PRESETS["paper"]()
    assert isinstance(config, CoReConfig)
    assert config.world_model == paper.world_model and config.objectives == paper.objectives
    assert config.agent.batch_size == 8
    assert config.agent.critic_layers == paper.agent.critic_layers


def test_a_training_that_is_refused_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileExistsError("here already holds a run")

    monkeypatch.setattr(training, "train", refuse)
    assert cli.main(["train"]) == 1
    assert capsys.readouterr().err.startswith("core-repr: here already holds a run")


def test_an_interrupted_training_ends_as_the_shell_expects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupt)
    assert cli.main(["train"]) == 130


def test_a_training_that_was_asked_to_stop_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise training.Interrupted("resume it with: core-repr train --resume here", 15)

    monkeypatch.setattr(training, "resume", stop)
    assert cli.main(["train", "--resume", "here"]) == 143
    assert "core-repr train --resume here" in capsys.readouterr().out


def test_resume_takes_the_run_and_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "resume", lambda *arguments, **_: asked.append(arguments))
    assert cli.main(["train", "--resume", "here"]) == 0
    assert cli.main(["train", "--resume", "here", "--env-steps", "9000", "--device", "cpu"]) == 0
    assert asked == [(Path("here"), None, "auto"), (Path("here"), 9000, "cpu")]


MODEL = "cartpole-swingup-easy-v0"
PIXELS = "core-repr-tests/Pixels-v0"


def test_from_takes_environment_and_settings_of_the_model(
    trainings: list[tuple[Any, ...]],
) -> None:
    assert cli.main(["train", "--from", MODEL, "--agent.batch-size", "16"]) == 0
    ((choice, config, run, schedule, _, origin),) = trainings
    own = load_config(zoo.find(MODEL))
    assert own.environment is not None
    assert choice == EnvironmentChoice(
        own.environment.id, own.environment.arguments, {}, {"split": "val"}
    )
    assert config.world_model == own.world_model and config.objectives == own.objectives
    assert config.agent == dataclasses.replace(own.agent, batch_size=16)
    assert run == Path(f"runs/from-{MODEL}/seed-0") and schedule == Schedule()
    assert (origin.agent_steps, origin.updates) == (25_000, 11_937)
    assert not origin.with_optimizers


@pytest.mark.parametrize(
    ("typed", "option"),
    [
        (["--resume", "here", "--seed", "3"], "--seed"),
        (["--resume", "here", "--run", "there"], "--run"),
        (["--resume", "here", "--task", "walker-walk"], "the environment's options"),
        (["--resume", "here", "--agent.batch-size", "16"], "--agent"),
        (["--resume", "here", "--from", MODEL], "--from"),
        (["--resume", "here", "--variant", "rsac"], "--variant"),
        (["--from", MODEL, "--difficulty", "hard"], "the environment's options"),
        (["--from", MODEL, "--preset", "paper"], "--preset"),
        (["--from", MODEL, "--world-model.crop-size", "60"], "--world-model"),
    ],
)
def test_what_an_earlier_training_decides_is_refused(
    trainings: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    typed: list[str],
    option: str,
) -> None:
    assert cli.main(["train", *typed]) == 1
    error = capsys.readouterr().err
    assert "leave out" in error and option in error and not trainings


def test_a_model_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--from", "cartpole-swingup-easy-v9"]) == 1
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "words"), [("gpu", "'gpu'"), ("cuda:9", "finds no GPU.*core-repr doctor")]
)
def test_a_device_that_is_not_there_is_refused(
    trainings: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    device: str,
    words: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["train", "--device", device]) == 1
    assert re.search(words, capsys.readouterr().err) and not trainings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--video", "episode.avi"], "must end in '.mp4'"),
        (["--output", "{}"], "cannot be written"),
    ],
)
def test_where_an_evaluation_is_written_is_checked_before_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(zoo, "find", lambda *_: pytest.fail("the evaluation began"))
    typed = [option.format(tmp_path) for option in options]
    assert cli.main(["evaluate", "model", *typed]) == 1
    assert words in capsys.readouterr().err


def test_a_run_s_folder_in_the_place_of_its_model_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    assert f"did you mean '{tmp_path / 'model'}'?" in capsys.readouterr().err


def test_an_environment_that_cannot_render_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class FatalError(Exception):
        """As MuJoCo's, which is none that the command line expects."""

    names: dict[str, Any] = {"__name__": "mujoco.egl", "FatalError": FatalError}
    exec("def find(*_): raise FatalError('no OpenGL context')", names)
    monkeypatch.setattr(zoo, "find", names["find"])
    assert cli.main(["evaluate", "model"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("core-repr: The environment cannot render") and error.count("\n") == 1


# Environments of one's own


def test_any_registered_environment_is_trained_in(trainings: list[tuple[Any, ...]]) -> None:
    typed = f"--env {PIXELS} --env-args length=8 action_size=3 nan_reward=false name=a,b "
    typed += "--validation-args length=9"
    assert cli.main(["train", *typed.split()]) == 0
    ((choice, _, run, *_),) = trainings
    arguments = {"length": 8, "action_size": 3, "nan_reward": False, "name": "a,b"}
    assert choice == EnvironmentChoice(PIXELS, arguments, {}, {"length": 9})
    assert run == Path("runs/core-repr-tests-Pixels-v0/seed-0")


def test_wrappers_are_put_around_it(trainings: list[tuple[Any, ...]]) -> None:
    typed = ['DistractionWrapper("medium", dynamic=True)', "AddRenderObservation"]
    assert cli.main(["train", "--env", "Reacher-v5", "--wrappers", *typed]) == 0
    more = ["--validation-args", "num_videos=3"]
    assert cli.main(["train", "--env", "Reacher-v5", "--wrappers", typed[0], *more]) == 0
    (choice, *_), (other, *_) = trainings
    distracted = WrapperConfig(
        "core_repr.DistractionWrapper", {"difficulty": "medium", "dynamic": True}
    )
    render = WrapperConfig("gymnasium.wrappers.AddRenderObservation")
    validation = {"split": "val"}
    assert choice == EnvironmentChoice("Reacher-v5", {}, {}, validation, (distracted, render))
    assert other.validation == {"split": "val", "num_videos": 3}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--wrappers AddRenderObservation", "--wrappers are of another environment"),
        (f"--env {PIXELS} --wrappers Nothing", "There is no wrapper 'Nothing'"),
        (f"--env {PIXELS} --wrappers os.system(1)", "'os.system' is not a wrapper"),
        ("--env core-repr-tests/Pixel-v0", "did you mean core-repr-tests/Pixels-v0"),
        ("--env os:system", "is not the id of a registered environment"),
        (f"--env {PIXELS} --task walker-walk", "does not take the suite's options"),
        (f"--env {PIXELS} --env-args length", "'length' is not an argument of the form"),
        ("--env-args length=8", "name it with --env"),
        (f"--env {PIXELS} --from {MODEL}", "leave out the environment's options"),
    ],
)
def test_an_environment_that_does_not_go_is_refused(
    trainings: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], typed: str, words: str
) -> None:
    assert cli.main(["train", *typed.split()]) == 1
    assert words in capsys.readouterr().err and not trainings


# Help


def test_the_help_of_train_is_short_and_the_rest_is_shown_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = []
    for option in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as leaving:
            cli.main(["train", option, "--preset", "paper"])
        assert leaving.value.code == 0
        shown.append(capsys.readouterr().out)
    short, whole = shown
    assert len(short.splitlines()) <= 60 and "--help-all" in short
    for option in ("--task", "--env-steps", "--variant", "--resume"):
        assert option in short and option in whole
    for option in ("--agent.batch-size", "--objectives.frames.weight", "--num-videos"):
        assert option not in short and option in whole
