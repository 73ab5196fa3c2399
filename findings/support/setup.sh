# Sourced by each finding: a temporary folder with a Python environment of its own, removed at the end.
set -euo pipefail
support=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$support" PYTHONWARNINGS=ignore

# install PACKAGE==VERSION ...
install() {
  if command -v uv >/dev/null; then
    uv venv --quiet "$work/env"
    uv pip install --quiet --python "$work/env/bin/python" "$@"
  else
    python3 -m venv "$work/env"
    "$work/env/bin/pip" install -qq --disable-pip-version-check "$@"
  fi
  printf 'Installed: %s\n' "$*"
}

# install_alone PACKAGE==VERSION, without what it asks for
install_alone() {
  if command -v uv >/dev/null; then
    uv pip install --quiet --no-deps --python "$work/env/bin/python" "$@"
  else
    "$work/env/bin/pip" install -qq --no-deps --disable-pip-version-check "$@"
  fi
  printf 'Installed: %s\n' "$*"
}

# python reads the program from standard input
python() { (cd "$work" && "$work/env/bin/python" - "$@"); }
