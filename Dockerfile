# docker build -t team5 .
# docker run --rm -p 8000:8000 -v ./checkpoints:/team5/checkpoints:ro team5
FROM python:3.11-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    NUMBA_CACHE_DIR=/home/team5/numba \
    OMP_NUM_THREADS=2

WORKDIR /team5

# What RDKit's drawings and numba are linked with beyond the slim image. Debian keeps one version of
# each, so that a pinned one would be gone with the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 libgomp1 libxext6 libxrender1 \
    && rm -rf /var/lib/apt/lists/*

# Before the code, so that it is installed anew only when it changes; torch without CUDA. The hashes say
# which files are taken, whatever index they come from.
COPY requirements-serve.lock ./
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu \
    --require-hashes --no-deps --requirement requirements-serve.lock

COPY team5 team5
COPY configs configs
COPY checkpoints checkpoints
COPY serve.py predict.py ./

RUN useradd --create-home --uid 10001 team5
USER 10001

# Compiled once, here, rather than at every start.
RUN python -m team5.inference.warm_up

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]

# By exec, so that SIGTERM reaches the server: what is under way is answered before it ends.
ENTRYPOINT ["python", "serve.py", "host=0.0.0.0"]
