#!/bin/sh
# Asks a server of its own whatever docs/openapi.json lets it, with schemathesis (in a venv: pip install schemathesis).
#
#   crates/server/tests/schemathesis.sh LAZARET [SCHEMATHESIS] [further options of schemathesis run]
set -eu
lazaret=$(realpath "$1")
schemathesis=${2:-schemathesis}
[ $# -lt 2 ] && shift 1 || shift 2
root=$(cd "$(dirname "$0")/../../.." && pwd)
data=$(mktemp -d)
# It keeps notes where it runs.
cd "$data"
"$lazaret" serve --data "$data" --listen 127.0.0.1:0 --listen-tls 127.0.0.1:0 --feeds-every-hours 0 >"$data.out" 2>"$data.err" &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$data" "$data.out" "$data.err" "$data.toml"' EXIT
until grep -q '^Next' "$data.out"; do kill -0 $server; sleep 0.1; done
base=$(sed -n 's/^Lazaret serves \(http:[^ ]*\).*/\1/p' "$data.out")
field() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
tenant=$(curl -s "$base/metadata/endpoints?api-version=2022-09-01" | field '["authentication"]["tenant"]')
token=$(curl -s "$base/$tenant/oauth2/v2.0/token" -d grant_type=client_credentials -d client_id=admin \
  --data-urlencode "client_secret=$(cat "$data/admin-password")" -d scope=https://management.azure.com/.default |
  field '["access_token"]')
subscription=$(curl -s -H "Authorization: Bearer $token" "$base/subscriptions?api-version=2022-12-01" |
  field '["value"][0]["subscriptionId"]')
# What is there, so that not all answers are 404.
cat >"$data.toml" <<END
[parameters]
"path.tenantId" = "$tenant"
"path.subscriptionId" = "$subscription"
"path.resourceGroupName" = "default"
"path.registryName" = "lazaret"
END
status=0
# Under a lock nothing else could be tried.
"$schemathesis" --config-file "$data.toml" run "$root/docs/openapi.json" --url "$base" -H "Authorization: Bearer $token" \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
  --exclude-operation-id-regex '^put_lock_' --max-examples "${EXAMPLES:-15}" --request-timeout 30 "$@" || status=$?
if grep -iE 'panick|error' "$data.err"; then status=1; fi
exit $status
