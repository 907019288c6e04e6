# The app on CPUs: docker build -t diffpose . && docker run --rm -p 127.0.0.1:7860:7860 diffpose
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
# uv knows where PyTorch's builds for CPUs are, which are a tenth of those with CUDA.
RUN pip install --no-cache-dir uv \
 && python -m venv /opt/diffpose \
 && VIRTUAL_ENV=/opt/diffpose uv pip install --no-cache --torch-backend=cpu ".[app,export,report]"

FROM python:3.11-slim
COPY --from=build /opt/diffpose /opt/diffpose
RUN useradd --create-home --uid 1000 diffpose
USER diffpose
WORKDIR /home/diffpose
ENV PATH=/opt/diffpose/bin:$PATH
# Mount a folder here to keep review projects.
RUN mkdir projects
VOLUME /home/diffpose/projects
EXPOSE 7860
CMD ["diffpose", "app", "--host", "0.0.0.0", "--port", "7860", "--projects", "/home/diffpose/projects"]
