#!/usr/bin/env bash
# Does what `current` names really serve? Run with `current` as working directory and the configuration as environment;
# says what does not, and exits 1.
set -euo pipefail

commit=$(sed -n 's/^commit_sha=//p' .deploy-meta)
heartbeat=/run/ouroboros/worker.json

fail() { echo "unhealthy: $*" >&2; exit 1; }
get() { curl --silent --show-error --fail --max-time 5 "http://127.0.0.1:$HTTP_PORT$1"; }

[[ $(get /api/health) == *"\"$commit\""* ]] || fail "the api does not run $commit"
for site in / /preview1/ /preview2/ /preview3/; do
    [[ $(get $site) == *"<title>Ouroboros"* ]] || fail "web does not answer on $site"
done
[[ $(cat $heartbeat) == *"\"$commit\""* ]] || fail "the worker does not run $commit"
[[ -n $(find $heartbeat -newermt '-5 seconds') ]] || fail "the worker's heart has stopped"
echo "healthy: $commit"
