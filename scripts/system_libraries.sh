#!/usr/bin/env bash
# System libraries beside the Python packages: a headless Chromium for the page tests, and what open3d (extra
# `points`) loads. Installed where apt-get may be used; elsewhere the tests that need them are skipped, saying so.
set -u

missing=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
ldconfig -p 2>/dev/null | grep -q libusb-1.0.so.0 || missing+=(libusb-1.0-0)
ldconfig -p 2>/dev/null | grep -q libGL.so.1 || missing+=(libgl1)
ldconfig -p 2>/dev/null | grep -q libgomp.so.1 || missing+=(libgomp1)
[ ${#missing[@]} -eq 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
  echo "installing ${missing[*]} …" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >/dev/null 2>&1 && exit 0
fi
echo "not installed: ${missing[*]}. The tests that need them are skipped; to have them: sudo apt-get install ${missing[*]}" >&2
exit 0
