# The toolbox with all extras (`/source` instead of `/source[all]`: without networks, 1 GB): docker build -t deepnets4eo .
# docker run --rm -u "$(id -u):$(id -g)" -v "$PWD":/data deepnets4eo check pre.tif
FROM python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea
# Given the time of the commit, compiled modules are known by the hash of their source, not by its time, which differs between builds.
ARG SOURCE_DATE_EPOCH
# The base names the snapshot of Debian that it was made of, in comments of its list of sources; no time of this build is kept in logs.
# hadolint ignore=DL3008
RUN sed -i -e '/^URIs:/d' -e 's/^# http/URIs: http/' /etc/apt/sources.list.d/debian.sources \
 && apt-get -o Acquire::Check-Valid-Until=false update \
 && apt-get install -y --no-install-recommends libegl1 libexpat1 libgl1 libgomp1 libusb-1.0-0 libx11-6 \
 && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/aux-cache
RUN --mount=type=bind,target=/source,rw pip install --no-cache-dir -c /source/constraints.txt "/source[all]" \
 && useradd --create-home --no-log-init --uid 1000 user
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["deepnets4eo"]
CMD ["--help"]
