#!/bin/sh
# Print the path of a Python 3.13: the emulator's only one. Looks at PYTHON313, PATH, pyenv and uv; downloads nothing.
set -u

is_313() { [ -n "$1" ] && "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; }

# Versions that one tool keeps stand beside each other, whatever HOME is.
beside=$(python3 -c 'import sys; print(sys.base_prefix)' 2>/dev/null)/..

# A shim of pyenv may stand on PATH without a 3.13 behind it, hence each candidate is asked.
for candidate in \
    "${PYTHON313:-}" \
    "$(command -v python3.13)" \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python3.13 \
    "$beside"/3.13*/bin/python3.13 \
    "$(uv python find --no-python-downloads 3.13 2>/dev/null)"; do
    if is_313 "$candidate"; then
        echo "$candidate"
        exit 0
    fi
done
echo "No Python 3.13 found for the BigQuery emulator (looked at PYTHON313, PATH, pyenv, uv): install one, for example" \
    "'pyenv install 3.13', or say PYTHON313=/path/to/python3.13." >&2
exit 1
