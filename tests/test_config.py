import dataclasses
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_repr.config import (
    PRESETS,
    VARIANTS,
    ContrastiveConfig,
    CoReConfig,
    EncoderConfig,
    EnvironmentConfig,
    FeedForwardDynamicsConfig,
    KLConfig,
    ObjectivesConfig,
    RecurrentDynamicsConfig,
    SACConfig,
    WorldModelConfig,
    make_variant,
    variant_of,
)

sizes = st.integers(1, 500)
layers = st.lists(sizes, min_size=1, max_size=3).map(tuple)
numbers = st.floats(1e-9, 1e6)


@st.composite
def configs(draw: st.DrawFn) -> CoReConfig:
    count = draw(st.integers(1, 3))
    filters = tuple(draw(st.lists(sizes, min_size=count, max_size=count)))
    strides = tuple(draw(st.lists(st.integers(1, 2), min_size=count, max_size=count)))
    bounds = draw(st.lists(st.tuples(st.floats(-9, -1), st.floats(0, 9)), min_size=1, max_size=3))
    pixels_key = draw(st.none() | st.just("camera"))
    environment = EnvironmentConfig(
        draw(st.text()),
        draw(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text())),
        tuple(low for low, _ in bounds),
        tuple(high for _, high in bounds),
        draw(sizes),
        pixels_key,
        {} if pixels_key is None else draw(st.dictionaries(st.text(max_size=5), sizes, max_size=3)),
    )
    of_dynamics = {
        "observation_output": draw(st.sampled_from(["linear", "elu"])),
        "prior_layers": draw(layers),
        "normalize_statistics": draw(st.booleans()),
        "log_std_offset": draw(st.floats(-10, 10)),
    }
    recurrent = RecurrentDynamicsConfig(
        initial_std=draw(st.none() | st.floats(0, 2)), **of_dynamics
    )
    frames = ContrastiveConfig(
        decoded=draw(st.sampled_from(["prior", "posterior"])),
        inverse_temperature=draw(st.floats(-5, 5)),
    )
    kl = KLConfig(weight=draw(numbers))
    return CoReConfig(
        WorldModelConfig(
            frame_size=draw(st.integers(64, 100)),
            crop_size=draw(st.integers(32, 64)),
            encoder=EncoderConfig(
                filters,
                draw(st.integers(1, 4)),
                strides,
                draw(st.just(()) | st.just((1,) * count)),
                pixel_scaling=draw(st.sampled_from(["unit", "centered", "standardized"])),
            ),
            dynamics=draw(st.sampled_from([recurrent, FeedForwardDynamicsConfig(**of_dynamics)])),
        ),
        ObjectivesConfig(frames=draw(st.sampled_from([None, frames])), kl=kl),
        agent=SACConfig(
            discount=draw(st.floats(0, 1, exclude_max=True)),
            target_rate=draw(st.floats(1e-9, 1)),
            joint_update=draw(st.booleans()),
            precision=draw(st.sampled_from(["auto", "float32", "bfloat16"])),
        ),
        environment=draw(st.none() | st.just(environment)),
    )


@given(config=configs())
@settings(deadline=None, max_examples=40)
def test_json_round_trip_is_exact(config: CoReConfig) -> None:
    assert CoReConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name: str) -> None:
    config = PRESETS[name]()
    assert config.environment is None
    assert CoReConfig.from_json(config.to_json()) == config


def test_preset_paper_has_the_settings_of_table_5() -> None:
    config = PRESETS["paper"]()
    model, agent, dynamics = config.world_model, config.agent, config.world_model.dynamics
    frames, kl = config.objectives.frames, config.objectives.kl
    reward, inverse_dynamics = config.objectives.reward, config.objectives.inverse_dynamics
    assert isinstance(dynamics, RecurrentDynamicsConfig)
    assert frames and kl and reward and inverse_dynamics
    assert (model.frame_size, model.crop_size) == (100, 84)
    assert (dynamics.deterministic_size, dynamics.stochastic_size) == (200, 64)
    assert (dynamics.normalize_statistics, dynamics.log_std_offset) == (True, 0)
    assert (dynamics.initial_std, dynamics.observation_output) == (None, "linear")
    assert (model.encoder.pixel_scaling, model.encoder.paddings) == ("unit", ())
    assert frames.proprioception and not agent.mean_recurrence
    assert (frames.weight, kl.weight, reward.weight, inverse_dynamics.weight) == (1, 0.01, 1, 1)
    assert (kl.free_nats, frames.inverse_temperature) == (1, 1)
    assert (frames.decoded, frames.negatives) == ("prior", "mini-batch")
    assert (agent.batch_size, agent.sequence_length, agent.replay_size) == (32, 32, 100_000)
    assert (agent.learning_starts, agent.updates_per_step) == (1_000, 0.5)
    assert (agent.initial_updates, agent.agent_updates, agent.averaging_rate) == (0, 1, 1)
    assert (agent.discount, agent.target_rate, agent.joint_update) == (0.99, 0.005, False)
    assert agent.model_learning_rate == agent.encoder_learning_rate == 3e-4
    assert agent.temperature_learning_rate == 2e-3
    assert not any(dataclasses.astuple(config.augmentation))
    assert agent.critic_learning_rate == agent.actor_learning_rate == 1e-3
    assert (agent.critic_to_model_learning_rate, agent.critic_weight) == (3e-4, 1)
    assert agent.entropy_learning_rate == 1e-3
    assert (agent.initial_log_entropy_weight, agent.max_log_entropy_weight) == (-2.3, 3)
    assert agent.model_max_gradient_norm == agent.actor_max_gradient_norm == 10
    assert agent.critic_max_gradient_norm == 100


def changed(path: str, value: Any) -> str:
    """The JSON of a valid config with the field at a dotted path set, or removed."""
    environment = EnvironmentConfig("an/Env-v0", {"frame_size": 100}, (-1.0,), (1.0,))
    fields = json.loads(CoReConfig(environment=environment).to_json())
    *parents, name = path.split(".")
    part = fields
    for parent in parents:
        part = part[parent]
    if value is REMOVED:
        del part[name]
    else:
        part[name] = value
    return json.dumps(fields)


REMOVED = object()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("agent.replay_sise", 5),
        ("colour", 5),
        ("environment.colour", 5),
        ("agent.batch_size", REMOVED),
        ("world_model.encoder.strides", REMOVED),
        ("environment", REMOVED),
        ("environment.action_repeat", REMOVED),
        ("world_model.encoder", REMOVED),
        ("objectives.frames", REMOVED),
        ("objectives.frames.kind", REMOVED),
        ("objectives.frames.kind", "generative"),
        ("objectives.frames", 3),
        ("objectives.frames.decoded", "future"),
        ("world_model.dynamics.kind", REMOVED),
        ("world_model.dynamics.kind", "circular"),
        ("world_model.dynamics.initial_std", REMOVED),
        ("world_model.dynamics.circles", 3),
        ("world_model.dynamics", None),
        ("augmentation.shift", -1),
        ("format_version", REMOVED),
        ("agent.batch_size", 0),
        ("agent.batch_size", 2.5),
        ("agent.sequence_length", 1),
        ("agent.discount", 1.0),
        ("agent.target_rate", 0.0),
        ("agent.updates_per_step", -1.0),
        ("agent.precision", "float16"),
        ("agent.joint_update", "maybe"),
        ("agent.actor_layers", [16, 0]),
        ("agent.actor_layers", 16),
        ("agent", []),
        ("agent", None),
        ("objectives.kl.weight", "much"),
        ("objectives.kl.weight", float("nan")),
        ("objectives.kl.weight", float("inf")),
        ("objectives.kl.free_nats", None),
        ("world_model.crop_size", 101),
        ("world_model.crop_size", 8),
        ("world_model.dynamics.prior_layers", []),
        ("world_model.dynamics.observation_output", "relu"),
        ("world_model.dynamics.initial_std", -1.0),
        ("world_model.encoder.paddings", [1]),
        ("world_model.encoder.paddings", [-1, 0, 0, 0]),
        ("world_model.encoder.pixel_scaling", "logarithmic"),
        ("agent.critic_weight", 0.5),
        ("world_model.encoder", 3),
        ("environment.action_low", [-1.0, -1.0]),
        ("environment.action_low", [1.0]),
        ("environment.action_low", [float("-inf")]),
        ("environment.id", 3),
        ("environment.arguments", [3]),
        ("environment", "an/Env-v0"),
        ("format_version", 99),
        ("agent.initial_updates", -1),
        ("agent.agent_updates", 0),
        ("environment.proprioception", {"arm": 0}),
        ("environment.proprioception", {"arm": 3}),
        ("environment.pixels_key", 3),
        ("format_version", "new"),
        ("format_version", [1]),
        ("format_version", True),
    ],
)
def test_a_field_that_does_not_fit_is_named_in_one_sentence(path: str, value: Any) -> None:
    with pytest.raises(ValueError) as refusal:
        CoReConfig.from_json(changed(path, value))
    message = str(refusal.value)
    assert type(refusal.value) is ValueError
    assert path.rsplit(".", 1)[-1] in message
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"config"', b"\xff\xfe\x00", "[" * 100_000, '{"a":' * 100_000],
)
def test_what_is_no_config_at_all_is_refused_in_one_sentence(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"^The config[^\n]*\.$"):
        CoReConfig.from_json(text)


@given(junk=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
@settings(deadline=None, max_examples=60)
def test_junk_in_any_field_is_a_value_error_or_fits(junk: Any) -> None:
    for path in (
        "agent",
        "agent.discount",
        "world_model.dynamics.prior_layers",
        "environment.action_low",
    ):
        try:
            config = CoReConfig.from_json(changed(path, junk))
        except ValueError as refusal:
            assert type(refusal) is ValueError
        else:
            assert CoReConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"averaging_rate": 0},
            "'agent.averaging_rate'.*input should be greater than 0",
        ),
        (
            {"initial_updates": -1},
            "'agent.initial_updates' does not fit: input should be greater than",
        ),
        ({"initial_update": 1}, "'agent.initial_update' is not known"),
        (
            {"replay_size": 7, "learning_starts": 7},
            r"'agent' does not fit: .*\(7\).*greater, not 7",
        ),
    ],
)
def test_constructors_refuse_in_one_sentence(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        SACConfig(**fields)
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)


@pytest.mark.parametrize(("preset", "frame", "crop"), [("compact", 84, 75), ("paper", 84, 71)])
def test_the_crop_follows_the_frame_unless_it_is_set(preset: str, frame: int, crop: int) -> None:
    sizes = PRESETS[preset]().world_model
    resized = dataclasses.replace(sizes, frame_size=frame)
    assert resized.crop_size == crop
    # No rounding adds up.
    tiny = dataclasses.replace(resized, frame_size=47)
    assert dataclasses.replace(tiny, frame_size=sizes.frame_size) == sizes
    chosen = dataclasses.replace(sizes, frame_size=frame, crop_size=64)
    assert chosen.crop_size == 64
    # What is saved is plain, and a config that was loaded keeps its share as well.
    config = CoReConfig(chosen)
    assert json.loads(config.to_json())["world_model"]["crop_size"] == 64
    for copy in (CoReConfig.from_json(config.to_json()), pickle.loads(pickle.dumps(config))):
        assert copy == config
        assert dataclasses.replace(copy.world_model, frame_size=2 * frame).crop_size == 128


def test_the_crop_follows_the_frame_in_the_constructor() -> None:
    assert WorldModelConfig(frame_size=84).crop_size == WorldModelConfig(84).crop_size == 71
    assert WorldModelConfig(frame_size=84, crop_size=84).crop_size == 84
    with pytest.raises(ValueError, match="frame_size' does not fit"):
        WorldModelConfig(frame_size=0)
    with pytest.raises(ValueError, match="crop_size 7 is too small"):
        WorldModelConfig(frame_size=8)


def test_a_size_that_fits_no_other_is_refused_in_one_short_sentence() -> None:
    with pytest.raises(ValueError, match=r"^[^\n]{,99}\(100\), not 900\.$"):
        WorldModelConfig(crop_size=900)


def test_replace_changes_a_copy() -> None:
    config = PRESETS["compact"]()
    environment = EnvironmentConfig("an/Env-v0", {}, (-1.0, -2.0), (1.0, 2.0), 4)
    replaced = config.replace(environment=environment)
    assert replaced.environment == environment and replaced.agent == config.agent
    assert config.environment is None
    assert environment.action_size == 2


# Moved at version 9: path before → path since.
MOVED = {
    **{
        f"world_model.{name}": f"world_model.dynamics.{name}"
        for name in (
            *("deterministic_size", "stochastic_size", "observation_layers", "observation_output"),
            *("recurrent_layers", "prior_layers", "posterior_layers", "normalize_statistics"),
            *("log_std_offset", "initial_std"),
        )
    },
    "world_model.decoder_layers": "objectives.frames.layers",
    "world_model.contrast_proprioception": "objectives.frames.proprioception",
    "world_model.reward_layers": "objectives.reward.layers",
    "world_model.inverse_dynamics_layers": "objectives.inverse_dynamics.layers",
    "loss.contrastive_weight": "objectives.frames.weight",
    "loss.inverse_temperature": "objectives.frames.inverse_temperature",
    "loss.kl_weight": "objectives.kl.weight",
    "loss.free_nats": "objectives.kl.free_nats",
    "loss.reward_weight": "objectives.reward.weight",
    "loss.inverse_dynamics_weight": "objectives.inverse_dynamics.weight",
    **{
        f"agent.{name}": f"augmentation.{name}"
        for name in ("texture_opacity", "color_jitter", "camera_jitter")
    },
}


def before_parts(config: CoReConfig) -> dict[str, Any]:
    """A config as version 8 has it."""
    old = json.loads(config.to_json())
    old["format_version"], old["loss"] = 8, {}
    for before, since in MOVED.items():
        *path, name = since.split(".")
        part = old
        for step in path:
            part = part[step]
        old[before.split(".")[0]][before.split(".")[1]] = part[name]
    del old["objectives"], old["augmentation"], old["world_model"]["dynamics"]
    del old["agent"]["kind"], old["world_model"]["encoder"]["kind"]
    del old["world_model"]["encoder"]["frame_stack"]
    return old


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 7, 8])
def test_configs_of_earlier_versions_mean_what_they_meant(version: int) -> None:
    config = PRESETS["compact"]()
    config = config.replace(objectives=dataclasses.replace(config.objectives, continuation=None))
    scaling = "standardized" if version >= 4 else "centered"
    encoder = dataclasses.replace(config.world_model.encoder, pixel_scaling=scaling)
    limit = config.agent.latent_max_gradient_norm if version >= 3 else 1e9
    config = config.replace(
        environment=EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,), 2),
        world_model=dataclasses.replace(config.world_model, encoder=encoder),
        agent=dataclasses.replace(
            config.agent,
            latent_max_gradient_norm=limit,
            initial_updates=config.agent.initial_updates if version >= 5 else 0,
            averaging_rate=config.agent.averaging_rate if version >= 5 else 1.0,
            agent_updates=config.agent.agent_updates if version >= 6 else 1,
            critic_to_model_learning_rate=config.agent.critic_learning_rate,
        ),
    )
    old = before_parts(config)
    old["format_version"] = version
    model = old["world_model"]
    if version < 8:
        del old["agent"]["critic_to_model_learning_rate"], old["agent"]["mean_recurrence"]
        del model["observation_output"], model["contrast_proprioception"]
        del model["encoder"]["paddings"]
        model["encoder"]["standardize"] = model["encoder"].pop("pixel_scaling") == "standardized"
    if version < 7:
        del old["agent"]["camera_jitter"]
    if version < 6:
        del old["agent"]["agent_updates"]
    if version < 5:
        del old["agent"]["initial_updates"], old["agent"]["averaging_rate"]
    if version < 4:
        del old["world_model"]["encoder"]["standardize"]
    if version < 3:
        del old["agent"]["latent_max_gradient_norm"]
    if version == 1:
        del old["world_model"]["proprioception_layers"]
        del old["environment"]["pixels_key"], old["environment"]["proprioception"]
    assert CoReConfig.from_json(json.dumps(old)) == config


def test_a_baseline_of_version_11_saw_each_observation_once() -> None:
    environment = EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,))
    config = make_variant(PRESETS["compact"](), "curl").replace(environment=environment)
    old = json.loads(config.to_json())
    assert old["agent"].pop("views") == 1 and old["agent"].pop("similarity") is None
    old["format_version"] = 11
    assert CoReConfig.from_json(json.dumps(old)) == config


def test_an_agent_of_version_12_learned_once_a_mini_batch_in_imagination() -> None:
    environment = EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,))
    config = make_variant(PRESETS["compact"](), "imagination").replace(environment=environment)
    old = json.loads(config.to_json())
    old["format_version"], old["agent"]["agent_updates"] = 12, 3
    assert CoReConfig.from_json(json.dumps(old)) == config


@pytest.mark.parametrize("variant", ["core", "no-reward"])
def test_a_model_of_version_13_predicted_rewards_as_they_are(variant: str) -> None:
    environment = EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,))
    config = make_variant(PRESETS["compact"](), variant).replace(environment=environment)
    old = json.loads(config.to_json())
    old["format_version"] = 13
    if variant == "core":
        assert old["objectives"]["reward"].pop("normalized") is False
    assert CoReConfig.from_json(json.dumps(old)) == config


@pytest.mark.parametrize(
    ("part", "path", "change"),
    [
        ("world_model", "world_model.crop_size", 900),
        ("world_model", "world_model.prior_layers", []),
        ("loss", "loss.kl_weight", "much"),
        ("loss", "loss.momentum", 3),
        ("agent", "agent.camera_jitter", 2),
    ],
)
def test_a_field_of_an_earlier_version_that_does_not_fit_is_named(
    part: str, path: str, change: Any
) -> None:
    config = CoReConfig(environment=EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,)))
    old = before_parts(config)
    name = path.split(".")[1]
    old[part][name] = change
    since = MOVED.get(path, path).rsplit(".", 1)[-1]
    with pytest.raises(ValueError, match=rf"^The config[^\n]*{since}[^\n]*\.$"):
        CoReConfig.from_json(json.dumps(old))


def test_earlier_sequential_updates_took_the_whole_gradient_of_the_critics() -> None:
    environment = EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,))
    old = before_parts(CoReConfig(environment=environment))
    old["format_version"], old["agent"]["critic_weight"] = 7, 0.0
    assert CoReConfig.from_json(json.dumps(old)).agent.critic_weight == 1


@pytest.mark.parametrize("variant", ["core", "imagination", "curl"])
def test_nothing_foresaw_a_termination_up_to_version_14(variant: str) -> None:
    environment = EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,))
    config = make_variant(PRESETS["compact"](), variant).replace(environment=environment)
    config = config.replace(objectives=dataclasses.replace(config.objectives, continuation=None))
    old = json.loads(config.to_json())
    del old["objectives"]["continuation"]
    old["format_version"] = 14
    assert CoReConfig.from_json(json.dumps(old)) == config
    assert variant_of(config) == variant


def test_the_number_of_proprioceptive_values_is_their_sum() -> None:
    environment = EnvironmentConfig(
        "an/Env-v0", {}, (-1.0,), (1.0,), 1, "camera", {"arm": 3, "gripper": 1}
    )
    assert environment.proprioception_size == 4
    with pytest.raises(ValueError, match="both"):
        EnvironmentConfig("an/Env-v0", {}, (-1.0,), (1.0,), 1, "arm", {"arm": 3})


# Variants


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_variant_of_every_preset_is_valid(preset: str, variant: str) -> None:
    config = make_variant(PRESETS[preset](), variant)
    assert CoReConfig.from_json(config.to_json()) == config
    # Compact keeps the critics' gradient out of Θ as it is.
    same = variant == "core" or (preset, variant) == ("compact", "no-critic-gradient")
    assert (config == PRESETS[preset]()) == same


def test_the_settings_of_its_agent_do_not_tell_a_variant() -> None:
    config = make_variant(PRESETS["compact"](), "imagination")
    agent = dataclasses.replace(config.agent, updates_per_step=2.0, averaging_rate=0.005)
    assert variant_of(config.replace(agent=agent)) == "imagination"
    config = make_variant(PRESETS["paper"](), "rsac")
    agent = dataclasses.replace(config.agent, initial_updates=7)
    assert variant_of(config.replace(agent=agent)) == "rsac"


def test_another_kind_of_part_keeps_the_sizes_that_both_have() -> None:
    before = PRESETS["compact"]().world_model.dynamics
    after = make_variant(PRESETS["compact"](), "no-recurrence").world_model.dynamics
    assert isinstance(after, FeedForwardDynamicsConfig) and after.deterministic_size == 0
    for name in ("stochastic_size", "prior_layers", "log_std_offset", "observation_output"):
        assert getattr(after, name) == getattr(before, name)


def test_a_variant_that_there_is_not_is_refused_with_what_is_near() -> None:
    with pytest.raises(ValueError, match=r"'rsak' is not a variant; expected rsac"):
        make_variant(PRESETS["compact"](), "rsak")


@pytest.mark.parametrize(
    ("objectives", "agent", "words"),
    [
        (
            dict.fromkeys(("frames", "reward", "inverse_dynamics")),
            {"critic_weight": 0.0},
            "nothing",
        ),
        (
            {"frames": ContrastiveConfig(negatives="same-sequence")},
            {"sequence_length": 2},
            "sequence_length must be at least 3, not 2",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(
    objectives: dict[str, Any], agent: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        CoReConfig(objectives=ObjectivesConfig(**objectives), agent=SACConfig(**agent))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_config_tells_which_variant_it_is(preset: str, variant: str) -> None:
    config = make_variant(PRESETS[preset](), variant)
    # compact itself keeps J_Q out of Θ: a setting of the algorithm makes no variant.
    expected = "core" if variant == "no-critic-gradient" else variant
    assert variant_of(config) == expected
    if variant != "core":
        agent = dataclasses.replace(config.agent, batch_size=3)
        assert variant_of(config.replace(agent=agent)) == expected
