#!/usr/bin/env bash
# What the tests need beside the Python packages: a headless Chromium for the page tests. Installed where apt-get may be
# used; elsewhere the tests that need it are skipped, saying so.
set -u

for browser in chromium chromium-browser google-chrome; do
  command -v "$browser" >/dev/null && exit 0
done

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
  echo "installing chromium …" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1 && exit 0
fi
echo "not installed: chromium. The tests that need it are skipped; to have it: sudo apt-get install chromium" >&2
exit 0
