#!/bin/sh
# Install what Qt and the virtual screen need on Debian and Ubuntu; elsewhere there is nothing to do.
set -eu
command -v apt-get >/dev/null 2>&1 || exit 0
packages="xvfb xauth libegl1 libgl1 libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4
libxcb-keysyms1 libxcb-image0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libfontconfig1
libglib2.0-bin python3-venv"
missing=""
for package in $packages; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
run=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "Please install:$missing" >&2
        exit 0
    }
    run="sudo"
fi
$run apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
