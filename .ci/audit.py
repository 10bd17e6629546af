"""Look up each locked version in the database of known vulnerabilities, with pip-audit.

Asked offline, pip-audit calls every package unknown and says that it has found nothing. So it is
asked first for a version that is known to be bad: where it does not know that one, its silence
about the others proves nothing, and this says so and fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

KNOWN_BAD = "urllib3==1.24.1"
"""CVE-2019-11324 and others."""


def audited(requirements: Path) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package of a file of requirements, None where it breaks off."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements)]
    command += ["--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return list(json.loads(run.stdout)["dependencies"])
    except (ValueError, KeyError):
        print(run.stderr.strip()[-1000:], file=sys.stderr)
        return None


def bad(packages: list[dict[str, Any]]) -> list[str]:
    """A line for each vulnerability."""
    return [
        f"{package['name']} {package['version']}: {found['id']}, "
        f"mended in {', '.join(found['fix_versions']) or 'no version yet'}"
        for package in packages
        for found in package.get("vulns", [])
    ]


def main(lock: Path) -> int:
    """Audit a lock file. 0: nothing is known against it, 1: something is, 2: nobody could tell."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "known-bad.txt"
        probe.write_text(f"{KNOWN_BAD}\n", encoding="utf-8")
        if not bad(audited(probe) or []):
            print(
                f"NOT AUDITED: the database of vulnerabilities cannot be reached from here (it "
                f"does not know {KNOWN_BAD}, which is bad). Run this where pypi.org is reached."
            )
            return 2
    packages = audited(lock)
    if packages is None:
        print(f"NOT AUDITED: pip-audit broke off over {lock}, see above")
        return 2
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if found := bad(packages):
        print(*found, sep="\n")
        print("If a bound in pyproject.toml allows these, raise it; then `make lock`.")
        return 1
    if unknown:
        print(f"NOT AUDITED: the database does not know {', '.join(unknown)}")
        return 2
    print(f"{len(packages)} packages of {lock}: nothing is known against them")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
