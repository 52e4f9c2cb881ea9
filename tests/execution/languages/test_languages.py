"""What is missing is said, with the command that provides it, and nothing is run without it."""

import dataclasses

import pytest

from rewardranker.errors import UserError
from rewardranker.execution import languages, toolchains
from rewardranker.execution.languages import LANGUAGES, find_language
from rewardranker.execution.languages.language import apt, npm
from rewardranker.execution.pool import Program, execute
from rewardranker.problems.languages import canonical_language


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_every_language_goes_by_its_canonical_name(language):
    assert canonical_language(language.name) == language.name
    assert find_language(language.name) is language


def test_other_names():
    for name, language in [
        ("py", "python"),
        ("sh", "bash"),
        ("cs", "csharp"),
        ("c++", "cpp"),
        ("rb", "ruby"),
    ]:
        assert find_language(name).name == language
    assert find_language("swift") is None  # known, but not run here
    assert find_language("cobol") is None


@pytest.fixture
def lacking(monkeypatch):
    """PHP without its interpreter, and with a library that only some programs need."""
    tools = (apt("no-such-php", "php-cli"), npm("no-such-package", "1.2", needed_by=r"\bsuch\b"))
    php = dataclasses.replace(find_language("php"), tools=tools)
    monkeypatch.setattr(languages, "LANGUAGES", (php,))
    return php


def test_a_program_whose_toolchain_is_missing_is_unavailable(isolation, lacking):
    (verdict,) = execute([Program("php", "<?php")], workers=1)
    assert (verdict.status, verdict.strict_status, verdict.exit_code) == ("unavailable", "unavailable", None)
    assert verdict.reason == (
        "php needs no-such-php: sudo apt-get install --yes --no-install-recommends php-cli"
    )


def test_what_only_some_programs_need_is_asked_of_those(lacking):
    assert [t.package for t in lacking.missing("such")] == ["php-cli", "no-such-package@1.2"]
    assert [t.package for t in lacking.missing("a suchlike")] == ["php-cli"]


def test_what_is_missing_is_installed_at_once(lacking):
    apt_command, npm_command = toolchains.commands([lacking, lacking])
    assert apt_command[:3] == ["sudo", "apt-get", "install"]
    assert "php-cli" in apt_command
    assert npm_command[:2] == ["npm", "install"]
    assert npm_command[-1] == "no-such-package@1.2"


def test_the_large_toolchains_are_installed_when_asked_for():
    assert find_language("go") not in toolchains.chosen([])
    assert toolchains.chosen(["golang", "rb"]) == [find_language("go"), find_language("ruby")]
    assert toolchains.chosen(["all"]) == list(LANGUAGES)
    with pytest.raises(UserError, match="'cobol' can be run; known: all, python"):
        toolchains.chosen(["go", "cobol"])
