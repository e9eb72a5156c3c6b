"""What needs no Hub: folders, settings, and errors that must pass unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch.errors import ConfigError, MissingError
from peftsearch.hub import hub_call, hub_errors, hub_timeout


def test_a_folder_is_loaded_without_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peftsearch.hub.calls._ask", None)  # would raise if it were called
    assert hub_call(str(tmp_path), lambda: 7) == 7


def test_a_folder_that_lacks_weights_is_named(tmp_path: Path) -> None:
    def loader() -> None:
        raise OSError(f"Error: {tmp_path} does not appear to have a file named model.safetensors.")

    with pytest.raises(MissingError, match=r"The folder .* is not complete") as caught:
        hub_call(str(tmp_path), loader)
    assert caught.value.exit_code == 3


def test_a_mistyped_folder_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    with pytest.raises(MissingError, match="There is no folder") as caught:
        hub_call(str(tmp_path / "my-modle"), lambda: 7)
    assert "my-model" in caught.value.hint


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    def loader() -> None:
        raise ImportError("T5Tokenizer requires the SentencePiece library.\nInstall it …")

    with pytest.raises(MissingError, match="T5Tokenizer requires the SentencePiece library"):
        hub_call(str(tmp_path), loader)


@pytest.mark.parametrize("error", [TypeError("a bug"), ConfigError("wrong"), ValueError("a bug")])
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, hub_errors("t5-base"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_a_bad_timeout_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PEFTSEARCH_HUB_TIMEOUT", text)
    with pytest.raises(ConfigError, match="PEFTSEARCH_HUB_TIMEOUT"):
        hub_timeout()
