#!/usr/bin/env bash
# What is needed beside the Python packages: a headless Chromium for the page tests, and the libraries that open3d loads.
# Installed where apt-get may be used; elsewhere the tests that need Chromium are skipped, and views of point clouds are
# computed without open3d, both saying so.
set -u

missing=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
  missing+=(chromium)

have_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }
if command -v ldconfig >/dev/null; then
  have_library libusb-1.0.so.0 || missing+=(libusb-1.0-0)
  have_library libGL.so.1 || missing+=(libgl1)
  have_library libgomp.so.1 || missing+=(libgomp1)
fi
[ "${#missing[@]}" -eq 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
  echo "installing ${missing[*]} …" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >/dev/null 2>&1 && exit 0
fi
echo "not installed: ${missing[*]}. What needs them is skipped or slower; to have them: sudo apt-get install ${missing[*]}" >&2
exit 0
