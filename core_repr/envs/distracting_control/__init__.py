"""The Distracting Control Suite: dm_control tasks seen through moving distractions.

`environment` joins the parts: `background`, `camera` and `color` are the distractions, `clips`,
`clip_folder`, `davis` and `procedural` say what the background shows, `clip_cache` keeps it for all
processes, `tasks` holds what each task and each level of difficulty asks for.
"""
