# syntax=docker/dockerfile:1
# The service on the official Node.js image. The build stage has all packages, the image only those of the service.
#
#   docker build -t message-push-service .
#   docker run --read-only -e ENVIRONMENT=production -v messages:/app/data -p 8089:8089 message-push-service

FROM node:26-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY packages/protocol/package.json packages/protocol/
COPY packages/server/package.json packages/server/
COPY packages/doctor/package.json packages/doctor/
COPY bench/package.json bench/
COPY tests/package.json tests/
# The root has the compiler.
RUN npm ci --no-audit --no-fund --workspace @message-push/server --include-workspace-root
COPY tsconfig.base.json ./
COPY packages/protocol packages/protocol
COPY packages/server packages/server
RUN node_modules/.bin/tsc -b packages/server
RUN npm ci --omit=dev --no-audit --no-fund --workspace @message-push/server

FROM node:26-bookworm-slim
ENV NODE_ENV=production \
    ENVIRONMENT=production \
    SERVICE_PORT=8089 \
    METRICS_PORT=9090 \
    DATA_DIR=/app/data \
    LOG_FILE=none
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/packages/protocol/package.json packages/protocol/
COPY --from=build /app/packages/protocol/dist packages/protocol/dist
COPY --from=build /app/packages/server/package.json packages/server/
COPY --from=build /app/packages/server/dist packages/server/dist
COPY --from=build /app/packages/server/lua packages/server/lua
COPY scripts/lib/check-health.mjs scripts/lib/
# The only folder that the service writes to; mount a volume there for the embedded engine.
RUN mkdir data && chown node:node data
USER node
VOLUME /app/data
EXPOSE 8089 9090
# Node.js runs as process 1: the service handles SIGTERM itself and leaves no zombie processes.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s --retries=3 \
    CMD ["node", "scripts/lib/check-health.mjs", "--path", "/sse/health/live"]
CMD ["node", "packages/server/dist/main.js"]
