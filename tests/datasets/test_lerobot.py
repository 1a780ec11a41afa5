"""Episodes of LeRobot's, in the layouts of its versions 2.1 and 3.0."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr import ActionBounds, cli
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig, EnvironmentConfig
from core_repr.datasets import lerobot, open_dataset
from core_repr.datasets.lerobot import read_video
from core_repr.evaluation import write_video

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

LENGTHS = (7, 4, 9)
HEIGHT, WIDTH = 48, 64


def shades(episode: int) -> Any:
    """Every frame of every episode has a shade of its own."""
    first = sum(LENGTHS[:episode])
    return [20 + 10 * (first + i) for i in range(LENGTHS[episode])]


def frames(episode: int) -> Any:
    return [np.full((HEIGHT, WIDTH, 3), shade, np.uint8) for shade in shades(episode)]


def numbers(episode: int) -> dict[str, Any]:
    rng = np.random.default_rng(episode)
    count = LENGTHS[episode]
    return {
        "action": rng.uniform(-1, 2, (count, 2)).astype(np.float32).tolist(),
        "observation.state": rng.normal(size=(count, 3)).astype(np.float32).tolist(),
        "next.reward": [float(i) for i in range(count)],
        "episode_index": [episode] * count,
        "frame_index": list(range(count)),
    }


CAMERA = "observation.images.top"
Make = Callable[..., Path]


@pytest.fixture(params=["v2.1", "v3.0", "images"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def made(rewards: bool = True, cameras: tuple[str, ...] = (CAMERA,), **info: Any) -> Path:
        folder = tmp_path / "lerobot"
        (folder / "meta").mkdir(parents=True)
        kind = request.param
        pictures = "image" if kind == "images" else "video"
        features: dict[str, Any] = {
            "action": {"dtype": "float32", "shape": [2]},
            "observation.state": {"dtype": "float32", "shape": [3]},
            **{name: {"dtype": pictures, "shape": [HEIGHT, WIDTH, 3]} for name in cameras},
        }
        if rewards:
            features["next.reward"] = {"dtype": "float32", "shape": [1]}
        tables = [numbers(episode) for episode in range(len(LENGTHS))]
        if kind == "images":
            from PIL import Image

            for episode, table in enumerate(tables):
                cells = []
                for frame in frames(episode):
                    content = io.BytesIO()
                    Image.fromarray(frame).save(content, "PNG")
                    cells.append({"bytes": content.getvalue(), "path": None})
                table[CAMERA] = cells
        v3 = kind == "v3.0"
        chunk, file = "chunk-{chunk_index:03d}", "file-{file_index:03d}"
        chunk2, file2 = "chunk-{episode_chunk:03d}", "episode_{episode_index:06d}"
        about = {
            "codebase_version": "v3.0" if v3 else "v2.1",
            "fps": 10,
            "total_episodes": len(LENGTHS),
            "chunks_size": 1000,
            "data_path": f"data/{chunk}/{file}.parquet" if v3 else f"data/{chunk2}/{file2}.parquet",
            "video_path": (
                f"videos/{{video_key}}/{chunk}/{file}.mp4"
                if v3
                else f"videos/{chunk2}/{{video_key}}/{file2}.mp4"
            ),
            "features": features,
            **info,
        }
        (folder / "meta" / "info.json").write_text(json.dumps(about))
        (folder / "data" / "chunk-000").mkdir(parents=True)
        if v3:
            joined = {n: [row for table in tables for row in table[n]] for n in tables[0]}
            parquet.write_table(pa.table(joined), folder / "data/chunk-000/file-000.parquet")
            place = folder / "videos" / CAMERA / "chunk-000" / "file-000.mp4"
            write_video(place, [f for e in range(len(LENGTHS)) for f in frames(e)], fps=10)
            starts = np.cumsum([0, *LENGTHS[:-1]]) / 10
            rows = {
                "episode_index": list(range(len(LENGTHS))),
                "data/chunk_index": [0] * 3,
                "data/file_index": [0] * 3,
                f"videos/{CAMERA}/chunk_index": [0] * 3,
                f"videos/{CAMERA}/file_index": [0] * 3,
                f"videos/{CAMERA}/from_timestamp": starts.tolist(),
                "stats/action/min": [[0.0]] * 3,
            }
            (folder / "meta/episodes/chunk-000").mkdir(parents=True)
            parquet.write_table(pa.table(rows), folder / "meta/episodes/chunk-000/file-000.parquet")
            return folder
        for episode, table in enumerate(tables):
            name = f"episode_{episode:06d}"
            parquet.write_table(pa.table(table), folder / f"data/chunk-000/{name}.parquet")
            if kind == "v2.1":
                place = folder / "videos" / "chunk-000" / CAMERA / f"{name}.mp4"
                write_video(place, frames(episode), fps=10)
        return folder

    return made


def test_frames_state_and_actions_are_read(make: Make) -> None:
    dataset = open_dataset(make(), 24)
    assert len(dataset) == 3 and dataset.has_rewards and dataset.spec is None
    assert isinstance(dataset.observation_space, gym.spaces.Dict)
    every = np.concatenate([numbers(e)["action"] for e in range(3)])
    np.testing.assert_array_equal(dataset.action_space.low, every.min(0))
    np.testing.assert_array_equal(dataset.action_space.high, every.max(0))
    for number, episode in enumerate(dataset):
        expected = numbers(number)
        assert episode.observations["pixels"].shape == (LENGTHS[number], 24, 24, 3)
        means = episode.observations["pixels"].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(means, shades(number), atol=4)
        np.testing.assert_array_equal(episode.observations["state"], expected["observation.state"])
        np.testing.assert_array_equal(episode.actions, expected["action"][:-1])
        np.testing.assert_array_equal(episode.rewards, expected["next.reward"][:-1])


MANY = 150
CODECS = {
    # LeRobot's own: AV1 with a key frame in two.
    "av1": "-c:v libsvtav1 -preset 12 -g 2",
    # Frames that are decoded in another order than they are shown in, also across key frames.
    "h264": "-c:v libx264 -preset ultrafast -bf 8 -x264-params open-gop=1:keyint=40",
    "hevc": "-c:v libx265 -preset ultrafast -x265-params open-gop=1:keyint=40:bframes=4",
}


@pytest.fixture(params=CODECS)
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """No two of its frames are the same."""
    return encoded(tmp_path / "video.mp4", *CODECS[request.param].split())


def encoded(path: Path, *options: str, source: str = "") -> Path:
    typed = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "quiet"]
    typed += ["-f", "lavfi", "-i", f"testsrc2=size=64x64:rate=10{source}"]
    typed += ["-frames:v", str(MANY), "-pix_fmt", "yuv420p", *options, str(path)]
    subprocess.run(typed, check=True, stderr=subprocess.DEVNULL)
    return path


def check_frames(path: Path) -> None:
    whole = read_video(path, 0, MANY, 16)
    for first, count in ((1, 9), (32, 3), (33, 3), (79, 30), (101, 1), (MANY - 1, 1)):
        found = read_video(path, first, count, 16)
        np.testing.assert_array_equal(found, whole[first : first + count])
    with pytest.raises(ValueError, match="fewer than 151 frames"):
        read_video(path, 100, 51, 16)


def test_frames_in_the_middle_of_a_video_are_those_of_the_whole(video: Path) -> None:
    assert len(lerobot._times(video, 0) or ()) == MANY
    check_frames(video)
    # Without what is before them.
    began = []
    run = lerobot._ffmpeg

    def seen(*arguments: str) -> Any:
        began.append(float(arguments[arguments.index("-ss") + 1]))
        return run(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lerobot, "_ffmpeg", seen)
        read_video(video, 120, 2, 16)
    assert began == [pytest.approx((120 - lerobot.LEAD) / 10)]


@pytest.mark.parametrize(
    ("name", "options", "source"),
    [
        ("late.mp4", ("-output_ts_offset", "7"), ""),
        ("uneven.mp4", ("-fps_mode", "vfr"), ",select=not(eq(mod(n\\,7)\\,3))"),
        ("other.mkv", (), ""),
        ("stream.ts", (), ""),
        ("raw.h264", (), ""),
    ],
)
def test_videos_of_other_times_are_read_too(
    tmp_path: Path, name: str, options: tuple[str, ...], source: str
) -> None:
    check_frames(encoded(tmp_path / name, *options, source=source))


def test_frames_that_are_not_shown_are_not_counted(tmp_path: Path) -> None:
    whole, cut = encoded(tmp_path / "whole.mp4", "-g", "50"), tmp_path / "cut.mp4"
    typed = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-ss", "1.3"]
    subprocess.run([*typed, "-i", str(whole), "-c", "copy", str(cut)], check=True)
    assert lerobot._times(cut, 0) is None
    found = read_video(cut, 40, 9, 16)
    np.testing.assert_array_equal(found, read_video(cut, 0, 49, 16)[40:])


@pytest.mark.slow
def test_a_world_model_learns_from_it(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(rewards=False)
    typed = ["train", "--dataset", str(folder), "--updates", "1", "--run", str(tmp_path / "run")]
    typed += ["--world-model.frame-size", "40", "--world-model.crop-size", "36"]
    typed += ["--agent.batch-size", "2"]
    assert cli.main(typed) == 1
    assert "no rewards to predict; take --variant no-reward" in capsys.readouterr().err
    assert cli.main([*typed, "--variant", "no-reward"]) == 0
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["environment"]["proprioception"] == {"state": 3}
    assert config["environment"]["id"] == "dataset/lerobot"


@pytest.mark.slow
def test_rewards_that_come_with_the_last_row_alone_are_told_to_be_lost(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = numbers

    def rewarded_at_the_end(episode: int) -> dict[str, Any]:
        columns = made(episode)
        return {**columns, "next.reward": [*[0.0] * (LENGTHS[episode] - 1), 1.0]}

    monkeypatch.setitem(globals(), "numbers", rewarded_at_the_end)
    typed = ["train", "--dataset", str(make()), "--updates", "1", "--run", str(tmp_path / "run")]
    typed += ["--world-model.frame-size", "40", "--world-model.crop-size", "36"]
    with pytest.warns(UserWarning, match="All rewards of lerobot that have a frame after them are"):
        assert cli.main([*typed, "--agent.batch-size", "2"]) == 0


TINY = [
    *("--world-model.frame-size", "40", "--world-model.crop-size", "36"),
    *("--agent.batch-size", "2", "--agent.sequence-length", "4"),
]


@pytest.mark.slow
@pytest.mark.parametrize("make", ["images"], indirect=True)
def test_its_model_learns_on_in_an_environment_within_the_bounds_that_were_recorded(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    features = {
        "action": {"dtype": "float32", "shape": [2]},
        CAMERA: {"dtype": "image", "shape": [HEIGHT, WIDTH, 3]},
        "next.reward": {"dtype": "float32", "shape": [1]},
    }
    typed = ["train", "--dataset", str(make(features=features)), "--updates", "1", *TINY]
    assert cli.main([*typed, "--run", "run"]) == 0
    assert "core-repr train --from run --env ID" in capsys.readouterr().out
    few = ["--env-steps", "200", "--evaluation-episodes", "1", "--agent.updates-per-step", "0.1"]
    few += ["--agent.learning-starts", "10"]
    there = ["--env", "core-repr-tests/Pixels-v0", "--env-args", "frame_size=40"]
    assert cli.main(["train", "--from", "run", *there, "--run", "on", *few]) == 0
    config = json.loads((tmp_path / "on" / "model" / "config.json").read_text())["environment"]
    every = np.concatenate([numbers(e)["action"] for e in range(3)])
    assert (config["id"], config["action_repeat"]) == ("core-repr-tests/Pixels-v0", 4)
    assert [config["action_low"], config["action_high"]] == [
        every.min(0).tolist(),
        every.max(0).tolist(),
    ]
    assert [wrapper["name"] for wrapper in config["wrappers"]] == ["core_repr.ActionBounds"]
    assert cli.main(["evaluate", "on/model", "--episodes", "1"]) == 0
    assert cli.main(["train", "--resume", "on", "--env-steps", "240"]) == 0
    capsys.readouterr()
    for arguments, words in (
        (["train", "--from", "run"], "which tells of no environment; name one to learn on in"),
        (["train", "--from", "run", "--task", "walker-walk"], "name one to learn on in with --env"),
        (["train", "--from", "run", "--env", "nowhere-v0"], "not the id of a registered"),
        (
            ["train", "--from", "run", *there, "action_size=3"],
            "ActionBounds has 2 lower and 2 upper bounds, but the environment has 3 action dim",
        ),
        (["train", "--from", "run", *there[:2]], "takes frames of 40 × 40 pixels"),
        (["evaluate", "run/checkpoints/00000000"], "is of a data set (dataset/lerobot), which"),
    ):
        assert cli.main([*arguments, *([] if "evaluate" in arguments else ["--run", "no"])]) == 1
        assert words in capsys.readouterr().err.splitlines()[-1]
    assert not Path("no").exists()


def test_an_environment_that_is_not_like_the_data_set_is_refused(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    low, high = (-1.0, 0.0), (1.0, 0.5)
    recorded = EnvironmentConfig("dataset/log", {}, low, high)
    state = replace(recorded, pixels_key="pixels", proprioception={"state": 3})
    for dataset, action_size, words in (
        (state, 2, r"the proprioception \{'state': 3\}, but the environment .*Pixels-v0 has none;"),
        (recorded, 3, "with 2 action dimensions, but the environment .* has 3;"),
        (
            recorded,
            2,
            r"actions from \[-1.0, 0.0\] to \[1.0, 0.5\], but .* takes others; put core_re",
        ),
    ):
        config = tiny_config().replace(environment=dataset)
        with pytest.raises(ValueError, match=words):
            CoReSAC("CoRePolicy", make_pixels(action_size=action_size), config)
    config = tiny_config().replace(environment=recorded)
    env = ActionBounds(make_pixels(), low, high)
    agent = CoReSAC("CoRePolicy", env, config, device="cpu")
    assert agent.environment_config.action_high == high
    without = CoReSAC("CoRePolicy", None, config, device="cpu")
    without.set_env(env)
    assert without.config.environment == agent.config.environment


def test_what_is_refused(make: Make, tmp_path: Path) -> None:
    two = make(cameras=(CAMERA, "observation.images.wrist"))
    with pytest.raises(ValueError, match=r"several cameras .*top, observation.images.wrist"):
        open_dataset(two, 24)
    with pytest.raises(ValueError, match="no camera 'left'"):
        open_dataset(two, 24, "left")
    assert len(open_dataset(two, 24, "top")) == 3


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"codebase_version": "v1.6"}, "versions 2 and 3 are read"),
        ({"fps": None}, "unusable"),
        ({"data_path": "../../etc/passwd"}, "outside of its folder"),
        ({"data_path": "data/none.parquet"}, "lacks"),
        ({"data_path": "data/{nothing:03d}.parquet"}, "is broken"),
        ({"data_path": "data/{episode_chunk:99999999999d}"}, "lacks"),
        ({"features": {"action": {"shape": [2]}, "observation.images.top": 3}}, "is broken"),
    ],
)
def test_what_a_stranger_could_have_written_is_refused(
    make: Make, info: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        open_dataset(make(**info), 24)
