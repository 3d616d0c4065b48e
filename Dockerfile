# Quarry, all roles in one image; there is no build step, Node runs the TypeScript as it is. Nothing in it depends on the
# architecture but the base.
#
#   docker build -t quarry .
#   docker run quarry --help
#   docker run --init -e REDIS_URL=redis://… -v ./main.ini:/etc/quarry/main.ini:ro … quarry worker /etc/quarry/main.ini
#
# --init waits for the children that programs of a `program` solver leave behind; without it they stay, defunct.
#
# No redis-server is in it, so `quarry up` needs a REDIS_URL here. compose.yaml shows the whole fleet.
FROM node:24-bookworm-slim

# A release adds its version, its commit and its source.
LABEL org.opencontainers.image.title="quarry" \
      org.opencontainers.image.description="Central ACME certificate server" \
      org.opencontainers.image.licenses="MIT"

ENV NODE_ENV=production
WORKDIR /app

# Of its own, so that a change of source does not install again. Optional packages are Node itself (it is here already)
# and native speed-ups that nothing relies on; no package needs its install scripts.
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --cache /tmp/npm && rm -r /tmp/npm

COPY shared ./shared
COPY services ./services

# A fresh named volume takes over owner and mode of the folder that it covers: this is what lets `node` write there.
RUN cd /var/lib && install -d -o node -g node -m 0700 quarry quarry/account quarry/installation quarry/storage quarry/profiles \
      quarry/trail quarry/trail-key && \
    install -d -o node -g node -m 0755 /acl /responder && \
    cd / && install -d -o node -g node -m 0700 run/quarry/redis $(printf 'passwords/%s ' intake worker scheduler responder cli)

# The user `node`, as numbers, so that Kubernetes too can see that it is not root.
USER 1000:1000

# Compiled here, all of it starts in half the time, in containers that may not write, too. Help loads all commands.
ENV NODE_COMPILE_CACHE=/home/node/.cache/quarry
RUN node --input-type=module --eval ' \
  for (const role of ["intake", "worker", "responder", "scheduler"]) \
    await import(`/app/services/${role}/${role}.ts`); \
  await import("/app/services/cli/main.ts")'

# Intake, http-01 responder. The admin listener (9313) is for this container alone unless [admin] says otherwise.
EXPOSE 1313 1380

# Of the admin listener where it is by default. A command that is no role has none.
HEALTHCHECK --start-period=60s --interval=10s --timeout=15s CMD ["bash", "services/ready.sh"]

ENTRYPOINT ["node", "services/cli/quarry.js"]
CMD ["up", "/etc/quarry/main.ini"]
