# One image for gateway and worker: docker run IMAGE gateway, docker run IMAGE worker.
#
# The base is named by its version. A digest pins it for good: --build-arg BASE=python:3.11.14-slim-bookworm@sha256:…
ARG BASE=python:3.11.14-slim-bookworm
# On ARM a part has to be compiled: --build-arg BUILDER=python:3.11.14-bookworm has a compiler.
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
# `tracing` holds OpenTelemetry besides, for TRACING=on.
ARG LOCK=service
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY requirements/build.txt requirements/service.txt requirements/tracing.txt requirements/
# pip stays in this stage: what runs has no installer.
RUN python -m venv /builder \
 && python -m venv --without-pip /opt/reservations \
 && /builder/bin/pip install --require-hashes --requirement requirements/build.txt \
 && /builder/bin/pip --python /opt/reservations/bin/python install --require-hashes --requirement requirements/${LOCK}.txt
COPY pyproject.toml README.md ./
COPY reservations reservations
RUN /builder/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /builder/bin/pip --python /opt/reservations/bin/python install --no-deps --no-index /wheels/*.whl

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="svc-reservations" \
      org.opencontainers.image.description="NovaTrek Adventures' booking service" \
      org.opencontainers.image.vendor="NovaTrek Adventures" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/reservations /opt/reservations
# A container is reached from outside of it. The files are compiled; nothing is written but to /tmp, and home is nowhere.
ENV PATH=/opt/reservations/bin:$PATH \
    HOME=/nonexistent \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    RESERVATIONS_HTTP_HOST=0.0.0.0 \
    RESERVATIONS_WORKER_HTTP_HOST=0.0.0.0
WORKDIR /
# No name has to be looked up, and Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s CMD ["reservations", "health"]
ENTRYPOINT ["reservations"]
