# CI does not build this image; `npm start` is the way that is tested.
FROM rust:1.92-bookworm AS rust

FROM node:20-bookworm AS build
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV PATH=/usr/local/cargo/bin:$PATH RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /polylora
COPY . .
RUN npm run setup && rm -rf engine/native/target

FROM node:20-bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /polylora
COPY --from=build /polylora .
# The model is kept in a volume, so that a new container does not download it again.
ENV NODE_ENV=production POLYLORA_HOME=/models POLYLORA_HOST=0.0.0.0 POLYLORA_ADAPTERS=/adapters
RUN mkdir /models && chown node /models && cp -r examples/adapters /adapters
USER node
VOLUME /models
EXPOSE 8080
HEALTHCHECK --interval=10s --start-period=5m CMD node -e "fetch('http://127.0.0.1:8080/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
CMD ["node", "gateway/bin/polylora.js", "serve"]
