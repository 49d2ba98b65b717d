# Sourced by the scripts: makes .venv with the wanted extras once, and again when pyproject.toml changes.
# CPU-only machines get the CPU build of torch and faiss-cpu; machines with an NVIDIA driver get faiss-gpu.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${RETRIEVAL_BENCH_VENV:-.venv}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 or newer found; install one or set PYTHON=/path/to/python" >&2
    exit 1
}

ensure_environment() { # extras, separated by commas
    local extras=$1 engine=faiss constraints=(-c scripts/constraints-cpu.txt) stamp wanted everything sum python
    if nvidia-smi >/dev/null 2>&1; then
        engine=gpu
        constraints=()
    fi
    extras="$extras,$engine"
    stamp="$VENV/.retrieval-bench"
    sum=$(cksum pyproject.toml scripts/constraints-cpu.txt | tr '\n' ' ')
    wanted="$extras $sum"
    everything="all,dev,$engine $sum"
    # A later, smaller wish (quickstart after test) is served by what is there already.
    if grep -qsxF -e "$wanted" -e "$everything" "$stamp"; then return; fi
    python=$(find_python)
    [ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV"
    echo "Installing retrieval-bench[$extras] into $VENV ..." >&2
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "${constraints[@]}" -e ".[$extras]"
    echo "$wanted" >>"$stamp"
}
