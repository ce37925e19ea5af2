# syntax=docker/dockerfile:1
# Three targets: `runtime` (the default: the gateway alone), `demo` (with private servers for
# `legacy-bridge demo`), and `build`, which leaves nothing behind but an environment.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Every file is checked against its hash here; afterwards pip sees this folder and nothing else.
COPY requirements.lock ./
RUN pip download --quiet --no-cache-dir --only-binary=:all: --require-hashes \
      --requirement requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY adapters adapters
COPY contracts contracts
COPY routes routes
COPY config config
RUN python -m venv /tools \
 && /tools/bin/pip install --quiet --no-index --find-links /wheels hatchling \
 && /tools/bin/python -m hatchling build --target wheel --directory /dist \
 && python -m venv /opt/legacy-bridge \
 && /opt/legacy-bridge/bin/pip install --quiet --no-index --find-links /wheels /dist/*.whl

FROM python:3.11-slim AS base
COPY --from=build /opt/legacy-bridge /opt/legacy-bridge
# A fixed number, so that a volume keeps its owner over rebuilt images.
RUN groupadd --system --gid 10001 bridge \
 && useradd --system --uid 10001 --gid bridge --home-dir /var/lib/legacy-bridge bridge \
 && install --directory --owner bridge --group bridge --mode 700 /var/lib/legacy-bridge
ENV PATH=/opt/legacy-bridge/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/legacy-bridge
ENTRYPOINT ["legacy-bridge"]

FROM base AS demo
# The image's own policy keeps packages from starting their services.
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      postgresql rabbitmq-server \
 && rm -rf /var/lib/apt/lists/*
# PostgreSQL refuses root, and nothing of the demo needs it.
USER bridge
CMD ["demo"]

# Last, so that a build without a target makes this one.
FROM base AS runtime
COPY contracts /etc/legacy-bridge/contracts
COPY routes /etc/legacy-bridge/routes
COPY config /etc/legacy-bridge/config
# Not in `base`: the environment overrides files, and the demo writes settings of its own.
ENV LEGACY_BRIDGE_CONFIG=/etc/legacy-bridge/config/legacy-bridge.yaml \
    BRIDGE_DATA_DIR=/var/lib/legacy-bridge
USER bridge
VOLUME /var/lib/legacy-bridge
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Looks at every role that shares the data folder; a role alone in its container turns it off.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
  CMD ["legacy-bridge", "status"]
CMD ["up"]
