# The toolbox with all extras on a processor, without a GPU (`.` instead of `.[all]`: without networks, 1 GB): docker build -t deepnets4eo . && docker run --rm -v "$PWD":/data deepnets4eo check pre.tif
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 libexpat1 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/deepnets4eo
COPY . .
RUN pip install --no-cache-dir -c constraints.txt ".[all]" && useradd --create-home user
USER user
WORKDIR /data
ENTRYPOINT ["deepnets4eo"]
CMD ["--help"]
