# Connector image for Airbyte. Build it with:
#   docker build --build-arg VERSION="$(uv version --short)" --tag source-drift .
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS base

FROM base AS build
COPY . /source
RUN pip install --no-cache-dir --prefix /installed --constraint /source/constraints.txt "/source[airbyte]"

FROM base
COPY --from=build /installed /usr/local
# The version of the package, which the label repeats for Airbyte.
ARG VERSION
RUN test "$VERSION" = "$(python -c 'from importlib.metadata import version; print(version("tap-drift"))')"
LABEL io.airbyte.name=source-drift io.airbyte.version=$VERSION
RUN useradd --create-home --uid 1000 airbyte
USER airbyte
WORKDIR /home/airbyte
ENV PYTHONUNBUFFERED=1 AIRBYTE_ENTRYPOINT=/usr/local/bin/source-drift
ENTRYPOINT ["/usr/local/bin/source-drift"]
