from __future__ import annotations

import pytest

from core_repr.files.secrets import redact


@pytest.mark.parametrize(
    "text",
    [
        "https://user:SECRET@host/file.zip cannot be downloaded",
        "nonnumeric port in 'https://SECRET@host:1/x'",
        "https://host/file.zip?X-Amz-Signature=SECRET&x=SECRET cannot be downloaded",
        "Illegal header value b'Bearer SECRET\\n'",
        "authorization: Basic SECRET==",
        "the token hf_SECRET is not valid",
        "proxy http://me:SECRET@proxy:3128/ refused",
    ],
)
def test_secrets_have_forms_by_which_they_are_found(text: str) -> None:
    assert "SECRET" not in redact(text) and "…" in redact(text)


def test_secrets_that_are_known_are_found_in_any_form() -> None:
    for token in ("api_org_SECRET", "SECRET\n", " SECRET", "SEC\nRET"):
        for text in (f"refused {token}", f"refused {token!r}", f"refused {token.strip()!a}"):
            assert "SEC" not in redact(text, token)


def test_other_text_stays() -> None:
    text = "https://huggingface.co/user/repo failed (401); log in with `hf auth login`, user@host?"
    assert redact(text, None, True, "", " ") == text
