"""What a background shows.

`clip` holds the kinds of clips: `procedural` generates some, `clip_folder` and `davis` find others.
`clip_cache` keeps their frames for all processes.
"""
