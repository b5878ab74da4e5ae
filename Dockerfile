# The connector as an image: every command, no shell needed, writes nowhere.
#
#   docker build --tag pancake-folkform-connector:0.1.0 .
#   docker run --rm --read-only pancake-folkform-connector:0.1.0 poll --help

# Debian, because confluent-kafka has no wheels for musl; the Python that the locks are resolved for
# and that the tests run on.
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PATH=/opt/connector/bin:$PATH
WORKDIR /src
RUN python -m venv /opt/connector
# The lock first: a change of our own code leaves this layer as it is.
COPY requirements.lock ./
RUN pip install --require-hashes --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas ./schemas
COPY connector ./connector
RUN pip install --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="pancake-folkform-connector" \
      org.opencontainers.image.description="Moves Pancake conversations and messages through Kafka into FolkForm" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# 127.0.0.1, the default of the package, would hide the metrics inside the container.
ENV PATH=/opt/connector/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1 \
    CONNECTOR_HTTP__LISTEN=0.0.0.0:8080
RUN groupadd --gid 10001 connector \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin connector
COPY --from=build /opt/connector /opt/connector
# By number: Kubernetes' runAsNonRoot cannot look up a name.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
# http.client, for urllib would ask a proxy of the environment for 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-I", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['CONNECTOR_HTTP__LISTEN'].rsplit(':', 1)[1]), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["connector"]
CMD ["--help"]
