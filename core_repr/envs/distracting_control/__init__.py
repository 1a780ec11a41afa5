"""The Distracting Control Suite: dm_control tasks seen through moving distractions.

`environment` joins the parts: `simulator` loads a task, `tasks` holds what each asks for,
`quantities` names what happens in it. The distractions are those of `core_repr.envs.mujoco`.
"""
