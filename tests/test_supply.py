"""What others have made and we depend on: locked, licensed, and never trusted unasked."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from email.message import Message
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HOUSE = Path(__file__).parents[1]
LOCK = HOUSE / "requirements" / "ci.txt"
LOCKED_EXTRAS = ("test", "docs", "catalog")
USERS_EXTRAS = ("viewer", "catalog", "beamline", "kafka", "scale")
"""What users install; the tools for tests and documentation go nowhere with the package."""

# --- Licences ---------------------------------------------------------------------------------
# Ours is BSD 3-Clause. Whatever asks for no more than its notice goes with it, and so does what
# asks for more only of those who change its own files (MPL).

ALLOWED = {
    *("0BSD", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "MIT-CMU", "ISC", "Zlib", "PSF-2.0"),
    *("Apache-2.0", "MPL-2.0", "CC0-1.0", "Unlicense", "Python-2.0", "BSL-1.0"),
}
"""Identifiers of SPDX."""

CLASSIFIERS = {
    "Apache Software License",
    "BSD License",
    "ISC License (ISCL)",
    "MIT License",
    "Mozilla Public License 2.0 (MPL 2.0)",
    "Python Software Foundation License",
}

FREE_TEXTS = {
    *("Apache-2.0", "Apache 2.0", "MIT", "MIT License", "MPL-2.0 AND MIT"),
    *("BSD", "BSD (3-clause)", "BSD 3-Clause", "BSD 3-Clause License", "BSD-3-clause"),
    *("BSD-2-Clause", "BSD-3-Clause"),
}
"""What the first line of the old field says, which was for a name or for the whole text."""

READ_BY_HAND = {
    "hdf5plugin": (
        "its LICENSE is MIT; the filters that it brings as binaries have open licences of their "
        "own, listed in doc/information.rst of its source. We pass none of them on"
    ),
    "historydict": "its LICENSE is BSD 3-Clause",
    "mongoquery": "its LICENSE is the Unlicense",
    "pyepics": "its LICENSE is the EPICS Open License, which asks for its notice only",
    "requests-unixsocket": "its LICENSE is Apache 2.0",
}
"""Their metadata name no licence. Somebody has read the file LICENSE, and it says this."""


def project() -> dict[str, Any]:
    return dict(tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def requirements_of(extras: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for; extras of our own (`femto-bluesky[viewer]`) taken apart."""
    ours = project()
    found = [Requirement(text) for text in ours["dependencies"]]
    todo = list(extras)
    while todo:
        for text in ours["optional-dependencies"][todo.pop()]:
            requirement = Requirement(text)
            if requirement.name == ours["name"]:
                todo += requirement.extras
            else:
                found.append(requirement)
    return found


def distributions() -> Iterator[metadata.Distribution]:
    """All that a user's installation brings here, however deep, each once."""
    seen: set[tuple[str, str]] = set()
    todo = requirements_of(USERS_EXTRAS)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            distribution = metadata.distribution(name)
            if not extra:
                yield distribution
            for needed in map(Requirement, distribution.requires or ()):
                if not needed.marker or needed.marker.evaluate({"extra": extra}):
                    todo.append(needed)


def licence_of(about: Any) -> tuple[bool, str]:
    """Whether the licence that the metadata name is allowed, and what they name."""
    if expression := about.get("License-Expression"):
        # Each part has to be allowed, also where there is a choice: that is more than is needed.
        parts = re.sub(r" WITH [\w.-]+", "", expression)  # an exception only allows more
        return set(re.split(r" AND | OR |[() ]+", parts)) - {""} <= ALLOWED, expression
    classifiers = {
        classifier.split(" :: ")[-1]
        for classifier in about.get_all("Classifier") or ()
        if classifier.startswith("License :: ")
    } - {"OSI Approved"}
    if classifiers:
        return classifiers <= CLASSIFIERS, ", ".join(sorted(classifiers))
    name = (about.get("License") or "").strip().partition("\n")[0]
    return name in FREE_TEXTS, name


def test_each_licence_goes_with_ours() -> None:
    named = {canonicalize_name(found.name): licence_of(found.metadata) for found in distributions()}
    assert len(named) > 100, "the walk has lost its way"
    wrong = {
        name: words
        for name, (is_allowed, words) in named.items()
        if not is_allowed and name not in READ_BY_HAND
    }
    assert not wrong, (
        f"{wrong}: read the licences of these. What goes with BSD 3-Clause is put into one of the "
        "tables of this test; what does not is not depended on"
    )
    for name in READ_BY_HAND.keys() & named.keys():
        assert not named[name][1].replace("UNKNOWN", ""), (
            f"{name} says now that its licence is {named[name][1]!r}: it needs no exception"
        )


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("License-Expression", "GPL-3.0-or-later"),
        ("License-Expression", "MIT AND (LGPL-2.1-only OR Apache-2.0)"),
        ("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"),
        ("License", "Proprietary"),
        ("License", ""),
    ],
)
def test_what_does_not_go_with_ours_is_seen(field: str, words: str) -> None:
    about = Message()
    about[field] = words
    assert not licence_of(about)[0]


# --- The lock ---------------------------------------------------------------------------------


def locked() -> dict[str, list[tuple[Version, str]]]:
    """The versions of each package (one for each range of Python versions), and what follows."""
    found: dict[str, list[tuple[Version, str]]] = {}
    for entry in re.split(r"\n(?=\S)", LOCK.read_text(encoding="utf-8")):
        if match := re.match(r"([\w.-]+)==(\S+)(.*)", entry, flags=re.DOTALL):
            name, version, rest = match.groups()
            found.setdefault(canonicalize_name(name), []).append((Version(version), rest))
        else:
            assert entry.startswith("#"), f"{entry[:80]!r} in {LOCK.name} is no locked version"
    return found


def test_the_lock_holds_what_the_project_asks_for() -> None:
    versions = locked()
    for requirement in requirements_of(LOCKED_EXTRAS):
        held = versions.get(canonicalize_name(requirement.name), [])
        assert held, f"{requirement} is not in {LOCK.name}: run `make lock`"
        for version, _ in held:
            assert requirement.specifier.contains(version), (
                f"{LOCK.name} has {requirement.name} {version}, pyproject.toml asks for "
                f"{requirement}: run `make lock`"
            )


def test_each_locked_version_has_its_hash_and_no_address() -> None:
    for name, entries in locked().items():
        for version, rest in entries:
            assert "--hash=sha256:" in rest, f"{name} {version} in {LOCK.name} has no hash"
            assert "://" not in rest, f"{name} {version} in {LOCK.name} comes from an address"


def test_continuous_integration_installs_the_lock() -> None:
    assert f"LOCK=requirements/{LOCK.name}" in (HOUSE / ".ci" / "run").read_text(encoding="utf-8")


# --- The page of threats ---------------------------------------------------------------------


def test_each_proof_on_the_page_of_threats_is_there() -> None:
    page = (HOUSE / "docs" / "explanations" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", page)
    assert len(named) > 10
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (HOUSE / file).is_file()
        or f"def {test}(" not in (HOUSE / file).read_text(encoding="utf-8")
    ]
    assert not missing


# --- The audit --------------------------------------------------------------------------------


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", HOUSE / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(name: str, *vulnerabilities: str, **more: str) -> dict[str, Any]:
    """What pip-audit says of a package."""
    if more:
        return {"name": name, **more}
    found = [{"id": identity, "fix_versions": ["2.0"]} for identity in vulnerabilities]
    return {"name": name, "version": "1.0", "vulns": found}


@pytest.mark.parametrize(
    ("probe", "packages", "code", "words"),
    [
        ([said("urllib3", skip_reason="not found")], [], 2, "cannot be reached"),
        (None, [], 2, "cannot be reached"),
        ([said("urllib3", "CVE-1")], None, 2, "broke off"),
        ([said("urllib3", "CVE-1")], [said("numpy"), said("six", skip_reason="?")], 2, "know six"),
        (
            [said("urllib3", "CVE-1")],
            [said("numpy", "CVE-2")],
            1,
            "numpy 1.0: CVE-2, mended in 2.0",
        ),
        ([said("urllib3", "CVE-1")], [said("numpy")], 0, "nothing is known against"),
    ],
)
def test_an_audit_that_could_not_ask_is_no_good_news(
    audit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    probe: Any,
    packages: Any,
    code: int,
    words: str,
) -> None:
    monkeypatch.setattr(audit, "audited", lambda path: packages if path == LOCK else probe)
    assert audit.main(LOCK) == code
    assert words in capsys.readouterr().out
