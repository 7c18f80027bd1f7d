#!/bin/sh
# Create the environments of the trading frameworks, as far as this machine can.
# Usage: install.sh BIN FOLDER FRAMEWORK..., where BIN has the python and uv of the project.
# What cannot be installed leaves its reason in FOLDER/FRAMEWORK/.skipped, and is no failure.
bin=$1
folder=$2
shift 2

skip() {
    echo "$framework is skipped: $1"
    mkdir -p "$place"
    echo "$1" >"$place/.skipped"
}

# Print the first Python between two versions: of the project, in the path, or of pyenv.
find_python() {
    for candidate in "$bin/python" python3.12 python3.13 python3.14 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
        if "$candidate" -c "import sys; sys.exit(not $1 <= sys.version_info[:2] <= $2)" \
            2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

for framework in "$@"; do
    place=$folder/$framework
    lock=tests/conformance/requirements-$framework.lock
    case $framework in
        nautilus-trader) oldest='(3, 12)' newest='(3, 14)' ;;
        *) oldest='(3, 11)' newest='(3, 14)' ;;
    esac
    if [ "$place/.installed" -nt "$lock" ]; then
        continue
    fi
    rm -rf "$place"
    found=$(find_python "$oldest" "$newest")
    if [ -z "$found" ]; then
        skip "It needs a Python from $oldest to $newest, which this machine does not have."
        continue
    fi
    if ! "$found" -m venv --without-pip "$place"; then
        skip "$found could not create its environment."
        continue
    fi
    if "$bin/uv" pip install --quiet --python "$place/bin/python" --require-hashes -r "$lock" \
        2>"$place/.log"; then
        touch "$place/.installed"
    else
        skip "Its packages cannot be installed: $(head -c 300 "$place/.log" | tr '\n' ' ')"
    fi
done
