"""Errors in the site's settings."""

from __future__ import annotations


class SettingError(ValueError):
    """An invalid setting. The text names it, its value, and what to write instead."""

    def __init__(self, setting: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(f"{setting} = {value!r} {problem}. {remedy}")
        self.setting = setting
        self.value = value
