# Connector image for Airbyte. Build it with: docker build -t source-drift .
FROM python:3.11-slim AS build
COPY . /source
RUN pip install --no-cache-dir --prefix /installed "/source[airbyte]"

FROM python:3.11-slim
COPY --from=build /installed /usr/local
RUN useradd --create-home --uid 1000 airbyte
USER airbyte
WORKDIR /home/airbyte
ENV PYTHONUNBUFFERED=1 AIRBYTE_ENTRYPOINT=/usr/local/bin/source-drift
ENTRYPOINT ["/usr/local/bin/source-drift"]
LABEL io.airbyte.name=source-drift io.airbyte.version=0.1.0
