# Everything that a fresh Debian machine needs before this project runs; sourced by lab, test and demo.
#
#   setup_python    the virtual environment with the locked packages and the project itself
#   setup_pictures  the locked packages of the extra "bench", for scripts/bench alone
#   setup_gateway   the system packages of a gateway host: an SSH server, sudo
#   setup_lab       those and the lab's system packages (its Java artifacts are fetched by `scripts/lab up`)
#
# Each does nothing when it has been done: a stamp in .venv holds the content that it was made from.

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=$PROJECT/.venv/bin/python

_fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# _install_packages PACKAGE…: with apt-get as root; otherwise one line that says what to install.
_install_packages() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        _fail "please install, as root: apt-get install --no-install-recommends $*"
    fi
    echo "installing $*" >&2
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
        >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        _fail "apt-get could not install $* (all of its output is in $log)"
    fi
    rm -f "$log"
}

_install_missing() {
    [ $# -eq 0 ] || (
        flock 9
        _install_packages "$@"
    ) 9<"$PROJECT/scripts/_setup.sh" || exit 1
}

_is_new_enough() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

_find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if _is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

_python_stamp() {
    echo "$PROJECT"
    cat "$PROJECT/requirements.lock" "$PROJECT/pyproject.toml" | sha256sum
}

_make_environment() {
    local interpreter
    [ "$(cat "$PROJECT/.venv/stamp" 2>/dev/null)" != "$(_python_stamp)" ] || return 0
    if ! _is_new_enough "$PYTHON"; then
        _find_python >/dev/null || _install_packages python3 python3-venv
        interpreter=$(_find_python) || _fail "Python 3.11 or newer is needed, with its venv module"
        echo "making the virtual environment" >&2
        "$interpreter" -m venv --clear "$PROJECT/.venv"
    fi
    echo "installing the locked Python packages" >&2
    local pip=("$PYTHON" -m pip --quiet --quiet --disable-pip-version-check install)
    "${pip[@]}" --require-hashes -r "$PROJECT/requirements.lock" || _fail "pip could not install the locked packages"
    "${pip[@]}" --no-deps --no-build-isolation --editable "$PROJECT" || _fail "pip could not install the project"
    _python_stamp >"$PROJECT/.venv/stamp"
}

setup_python() {
    # One at a time: the lock is this file, and is given back when the subshell ends.
    (
        flock 9
        _make_environment
    ) 9<"$PROJECT/scripts/_setup.sh" || exit 1
}

# The packages of the extra "bench", which only scripts/bench needs.
setup_pictures() {
    (
        flock 9
        local stamp
        stamp=$(sha256sum <"$PROJECT/requirements-bench.lock")
        [ "$(cat "$PROJECT/.venv/stamp-bench" 2>/dev/null)" != "$stamp" ] || exit 0
        echo "installing the locked packages that draw pictures" >&2
        "$PYTHON" -m pip --quiet --quiet --disable-pip-version-check install --require-hashes \
            -r "$PROJECT/requirements-bench.lock" || _fail "pip could not install what draws the pictures"
        echo "$stamp" >"$PROJECT/.venv/stamp-bench"
    ) 9<"$PROJECT/scripts/_setup.sh" || exit 1
}

_java_package() {
    if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
        echo openjdk-17-jre-headless
    else
        echo default-jre-headless
    fi
}

# What a gateway host has, and the tests of its set-up script and of SSH need.
setup_gateway() {
    local missing=()
    [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
    command -v ssh >/dev/null || missing+=(openssh-client)
    command -v sudo >/dev/null || missing+=(sudo)
    command -v tcsh >/dev/null || missing+=(tcsh) # a login shell that some gateways' users have
    _install_missing "${missing[@]}"
}

setup_lab() {
    local missing=()
    setup_gateway
    command -v mvn >/dev/null || missing+=(maven)
    # The gateways' users have only the system's programs on their path.
    [ -x /usr/bin/java ] || missing+=("$(_java_package)")
    [ -x /usr/bin/python3 ] || missing+=(python3)
    _install_missing "${missing[@]}"
}
