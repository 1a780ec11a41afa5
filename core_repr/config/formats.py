"""The layouts of ``config.json``, and how older ones are read."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin

FORMAT_VERSION = 15
"""Version of the layout of ``config.json``; :func:`upgrade` reads the older ones."""


def check_version(version: Any) -> None:
    """Refuses a version that this release does not read."""
    if version != FORMAT_VERSION:
        raise ValueError(
            f"The config's field 'format_version' is {version!r}, but this release reads "
            f"{FORMAT_VERSION}; install a core-repr release that fits the model."
        )


def _part_at(fields: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns the part at a path; an empty one where a broken config has none."""
    part: Any = fields
    for name in path.split("."):
        part = part.get(name) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else {}


def _adding(**additions: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Makes an upgrade that adds fields to parts."""

    def upgrade(fields: dict[str, Any]) -> None:
        for path, added in additions.items():
            part = _part_at(fields, path)
            part.update({**added, **part})

    return upgrade


def _upgrade_encoder_standardization(fields: dict[str, Any]) -> None:
    """Encoders up to version 3 take the frames as they are."""
    _part_at(fields, "world_model.encoder").setdefault("standardize", False)


def _upgrade_to_published_forms(fields: dict[str, Any]) -> None:
    """Up to version 7 there is one form of each of these, which is not the published one."""
    encoder, agent = _part_at(fields, "world_model.encoder"), _part_at(fields, "agent")
    standardized = encoder.pop("standardize", False)
    scaling = {True: "standardized", False: "centered"}
    encoder.setdefault("paddings", [])
    encoder.setdefault("pixel_scaling", scaling.get(standardized, standardized))
    _adding(
        world_model={"observation_output": "elu", "contrast_proprioception": False},
        agent={
            "critic_to_model_learning_rate": agent.get("critic_learning_rate"),
            "mean_recurrence": True,
        },
    )(fields)
    if agent.get("joint_update") is False:
        # The sequential update took the whole gradient, whatever the weight was.
        agent["critic_weight"] = 1.0


def _upgrade_to_parts(fields: dict[str, Any]) -> None:
    """Up to version 8 a model is one assembly, with one bag of sizes and one of weights."""
    sizes, agent = _part_at(fields, "world_model"), _part_at(fields, "agent")
    loss = fields.pop("loss", None)
    loss = loss if isinstance(loss, dict) else {}

    def moved(source: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
        return {new: source.pop(old) for old, new in names.items() if old in source}

    of_dynamics = (
        *("deterministic_size", "stochastic_size", "observation_layers", "observation_output"),
        *("recurrent_layers", "prior_layers", "posterior_layers", "normalize_statistics"),
        *("log_std_offset", "initial_std"),
    )
    sizes["dynamics"] = {"kind": "recurrent"}
    for name in of_dynamics:
        sizes["dynamics"] |= moved(sizes, {name: name})
    _adding(**{"world_model.encoder": {"kind": "convolutional", "frame_stack": 1}})(fields)
    frames = {
        "kind": "contrastive",
        **moved(
            loss, {"contrastive_weight": "weight", "inverse_temperature": "inverse_temperature"}
        ),
        **moved(sizes, {"decoder_layers": "layers", "contrast_proprioception": "proprioception"}),
        "decoded": "prior",
        "negatives": "mini-batch",
    }
    kl = {"kl_weight": "weight", "free_nats": "free_nats"}
    reward = {
        "kind": "smooth-l1",
        **moved(loss, {"reward_weight": "weight"}),
        **moved(sizes, {"reward_layers": "layers"}),
    }
    inverse_dynamics = {
        "kind": "squared-error",
        **moved(loss, {"inverse_dynamics_weight": "weight"}),
        **moved(sizes, {"inverse_dynamics_layers": "layers"}),
    }
    fields["objectives"] = {
        "frames": frames,
        "kl": {"kind": "balanced-kl", **moved(loss, kl)},
        "reward": reward,
        "inverse_dynamics": inverse_dynamics,
        **loss,
    }
    fields["augmentation"] = {"shift": 0}
    for name in ("texture_opacity", "color_jitter", "camera_jitter"):
        fields["augmentation"] |= moved(agent, {name: name})
    agent |= {"kind": "core-sac", "imagination": None}


def _upgrade_feed_forward(fields: dict[str, Any]) -> None:
    """Up to version 11, SAC on stacked frames sees each observation once, and no pairs."""
    if fields["agent"]["kind"] == "feed-forward-sac":
        fields["agent"] |= {"views": 1, "similarity": None}


def _upgrade_imagination(fields: dict[str, Any]) -> None:
    """Up to version 12, an update in imagination is one, whatever the setting says."""
    if fields["agent"].get("imagination") is not None:
        fields["agent"]["agent_updates"] = 1


_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {
    # Models of version 1 do without proprioception.
    1: _adding(
        world_model={"proprioception_layers": [200, 200, 200]},
        environment={"pixels_key": None, "proprioception": {}},
    ),
    # Nothing limited the critics' gradient up to version 2.
    2: _adding(agent={"latent_max_gradient_norm": 1e9}),
    3: _upgrade_encoder_standardization,
    # Up to version 4, world model and agent start to learn together, and nothing is averaged.
    4: _adding(agent={"initial_updates": 0, "averaging_rate": 1.0}),
    # Up to version 5, the agent learns once from the latents of a mini-batch.
    5: _adding(agent={"agent_updates": 1}),
    # Up to version 6, frames stay as the camera gave them.
    6: _adding(agent={"camera_jitter": 0.0}),
    7: _upgrade_to_published_forms,
    8: _upgrade_to_parts,
    # Up to version 9, environments are as their id makes them.
    9: _adding(environment={"wrappers": []}),
    # Up to version 10, nothing stands before the encoder.
    10: _adding(**{"world_model.encoder": {"gate": None}}),
    11: _upgrade_feed_forward,
    12: _upgrade_imagination,
    # Up to version 13, rewards are predicted as they are.
    13: _adding(**{"objectives.reward": {"normalized": False}}),
    # Up to version 14, nothing predicts that an episode terminates.
    14: _adding(objectives={"continuation": None}),
}
"""Version → what makes the next version of it, in place."""


def upgrade(fields: dict[str, Any]) -> None:
    """Brings the fields of an earlier version to the newest one, in place."""
    while type(version := fields["format_version"]) is int and version in _UPGRADES:
        _UPGRADES[version](fields)
        fields["format_version"] = version + 1


def require_fields(fields: Any, part: Any, path: str = "") -> None:
    """Refuses a saved config that lacks a field.

    It is complete: a default of a later release must not slip into it.
    """
    if not isinstance(fields, dict):
        where = f"The config's field {path!r}" if path else "The config"
        raise ValueError(f"{where} must be a JSON object, not {fields!r:.50}.")
    for field in dataclasses.fields(part):
        name = f"{path}.{field.name}" if path else field.name
        if field.name not in fields:
            raise ValueError(f"The config lacks the field {name!r}.")
        choices = list(_parts_of(field.type))
        value = fields[field.name]
        if get_origin(field.type) is tuple and choices:
            if not isinstance(value, list):
                raise ValueError(f"The config's field {name!r} must be a list, not {value!r:.50}.")
            for index, item in enumerate(value):
                require_fields(item, choices[0], f"{name}.{index}")
        elif choices and value is not None:
            kind = _part_at(fields, field.name).get("kind")
            # The fields of an unknown kind are not known.
            for choice in choices:
                if len(choices) == 1 or choice.kind == kind:
                    require_fields(value, choice, name)


def _parts_of(field_type: Any) -> Iterator[Any]:
    """Yields the parts that a field may be."""
    if isinstance(field_type, type) and dataclasses.is_dataclass(field_type):
        yield field_type
    for argument in get_args(field_type):
        yield from _parts_of(argument)
