"""Fails where wheel or source archive hold another set of files than they should.

Run in the root of the repository: `python .ci/release_contents.py WHEEL SDIST`.
"""

import subprocess
import sys
import tarfile
import zipfile

PACKAGE = ["cogent"]
METADATA = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"]
# The build backend adds .gitignore and PKG-INFO by itself.
BESIDE = ["CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"]
ADDED = [".gitignore", "PKG-INFO"]


def main(wheel: str, sdist: str) -> None:
    package = _tracked(*PACKAGE)
    with zipfile.ZipFile(wheel) as archive:
        seen = set(archive.namelist())
    root = next(name for name in seen if ".dist-info/" in name).partition("/")[0]
    _compare(wheel, seen, package | {f"{root}/{name}" for name in METADATA})
    with tarfile.open(sdist) as archive:
        files = {member.name for member in archive.getmembers() if member.isfile()}
    inside = {name.partition("/")[2] for name in files}
    _compare(sdist, inside, package | {*BESIDE, *ADDED})


def _tracked(*paths: str) -> set[str]:
    """The files of the repository, so that no stray file is released."""
    command = ["git", "ls-files", "--", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def _compare(path: str, seen: set[str], expected: set[str]) -> None:
    if missing := sorted(expected - seen):
        sys.exit(f"{path} lacks {missing}")
    if more := sorted(seen - expected):
        sys.exit(f"{path} must not hold {more}")
    print(f"{path}: {len(seen)} files, as they should be")


if __name__ == "__main__":
    main(*sys.argv[1:])
