#!/usr/bin/env bash
# What is needed beside the Python packages: a headless Chromium for the page tests. Installed where apt-get may be used;
# elsewhere the tests that need it are skipped and say so.
set -u

missing=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
  missing+=(chromium)

[ "${#missing[@]}" -eq 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
  echo "installing ${missing[*]} …" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >/dev/null 2>&1 && exit 0
fi
echo "not installed: ${missing[*]}. What needs them is skipped or slower; to have them: sudo apt-get install ${missing[*]}" >&2
exit 0
