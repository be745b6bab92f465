# Sourced by the scripts beside it: $uv is a uv that keeps what it fetches below $truth, itself from PyPI by name.
export UV_CACHE_DIR=$truth/uv/cache UV_LINK_MODE=hardlink UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 UV_CONCURRENT_DOWNLOADS=8
uv=$truth/uv/venv/bin/uv
mkdir -p "$truth/uv"
# Two scripts may want it at once.
flock "$truth/uv/lock" bash -euc '[ -x "$0/bin/uv" ] || { /usr/bin/python3 -m venv "$0" && "$0/bin/pip" install --quiet uv; }' "$truth/uv/venv"
