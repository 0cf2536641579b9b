#!/bin/sh
# Make sure that there is a Python to start with: bootstrap.sh [program]
set -eu
python=${1:-python3}

if ! command -v "$python" >/dev/null 2>&1; then
    install='apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3 python3-venv'
    if [ "$(id -u)" = 0 ]; then
        sh -c "$install" </dev/null
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n sh -c "$install" </dev/null
    else
        echo "Python 3 is missing. Run this once as root, then try again:" >&2
        echo "  $install" >&2
        exit 1
    fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "Python 3.10 or newer is needed; $python is $("$python" -V 2>&1)." >&2
    exit 1
fi
