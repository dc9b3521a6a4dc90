# A server of one ONNX bundle, without TensorFlow, Keras and what training needs (docs/how-to/docker.md):
#
#     docker build -t bakeoff-serve .
#     docker run --rm -p 8000:8000 --read-only --tmpfs /tmp -v "$PWD/OUT/bundle-onnx:/bundle:ro" bakeoff-serve
#
# With --build-arg RUNTIME=ai-edge-litert it serves LiteRT bundles instead.

FROM python:3.12-slim AS build
ARG RUNTIME=onnxruntime
RUN pip install --no-cache-dir uv
RUN uv venv /opt/bakeoff
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src src
# What `bakeoff serve` imports, in the locked versions; then bakeoff itself, without the packages of training.
RUN uv pip install --python /opt/bakeoff --no-cache --constraint requirements.lock \
    fastapi jinja2 numpy pillow platformdirs prometheus-client pydantic python-multipart typer uvicorn "$RUNTIME"
RUN uv pip install --python /opt/bakeoff --no-cache --no-deps .

FROM python:3.12-slim
COPY --from=build /opt/bakeoff /opt/bakeoff
ENV PATH=/opt/bakeoff/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
# Options follow the name of the image, as in: docker run … bakeoff-serve --root-path /pictures
ENTRYPOINT ["bakeoff", "serve", "/bundle", "--host", "0.0.0.0", "--port", "8000"]
