#!/bin/sh
# Azure's own CLI, unmodified, from registering the cloud to reading results. It stops at the first thing that fails.
#
#   crates/server/tests/az.sh AZ https://HOST:PORT TENANT CLIENT-ID SECRET CA.pem REPOSITORY [NAME PASSWORD [CERTIFICATE]]
#
# REPOSITORY: one of the default registry with an image that has findings. NAME: a Reader who signs in by a device code,
# with curl in the place of a browser. CERTIFICATE: a file with one of CLIENT-ID's and its key. az keeps its notes in $AZURE_CONFIG_DIR:
# give it a folder that may go.
set -eu
az=$1 server=$2 tenant=$3 client=$4 secret=$5 repository=$7
export REQUESTS_CA_BUNDLE="$6" AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_OUTPUT=json

# What is printed must hold what is wanted.
says() {
  wanted=$1
  shift
  echo "az $*" | sed "s/$secret/***/g"
  answer=$("$az" "$@" --only-show-errors)
  case $answer in
    *"$wanted"*) ;;
    *)
      printf 'no %s in:\n%s\n' "$wanted" "$answer" >&2
      exit 1
      ;;
  esac
}

says '' config set core.instance_discovery=false
says '' cloud register -n Lazaret --endpoint-resource-manager "$server" --endpoint-active-directory "$server" \
  --endpoint-active-directory-resource-id https://management.core.windows.net/ \
  --endpoint-active-directory-graph-resource-id "$server/" --endpoint-microsoft-graph-resource-id "$server/"
says '' cloud set -n Lazaret
says '"state": "Enabled"' login --service-principal -u "$client" -p "$secret" --tenant "$tenant"
says "$tenant" account list
subscription=$("$az" account show --query id -o tsv)

says '"local"' account list-locations
says '"Registered"' provider show -n Microsoft.ContainerRegistry
says '' provider register -n Microsoft.Security
says '"default"' group list
says 'false' group exists -n made
says '"Succeeded"' group create -n made -l local
says '"team": "web"' group update -n made --set tags.team=web
says 'true' group exists -n made
says '"made"' group list --tag team=web
says '[]' group list --tag team=none
made=/subscriptions/$subscription/resourceGroups/made
says '"env": "test"' tag create --resource-id "$made" --tags env=test
says '"team": "web"' tag update --resource-id "$made" --operation Merge --tags team=web
says '"env": "test"' tag list --resource-id "$made"
says '"tagName": "env"' tag list
says '' tag update --resource-id "$made" --operation Delete --tags env=test
says '' tag delete --resource-id "$made" --yes
says '"CanNotDelete"' lock create -n keep -g made --lock-type CanNotDelete --notes because
says '"keep"' lock list -g made
says '"because"' lock show -n keep -g made
if "$az" group delete -n made --yes --only-show-errors 2>"$AZURE_CONFIG_DIR/refused"; then
  echo 'a locked group was deleted' >&2
  exit 1
fi
grep -q ScopeLocked "$AZURE_CONFIG_DIR/refused"
says '' lock delete -n keep -g made
says '"ReadOnly"' lock create -n fixed --lock-type ReadOnly --resource-group default \
  --resource-type Microsoft.ContainerRegistry/registries --resource lazaret
says '"fixed"' lock list
says '' lock delete -n fixed --resource-group default --resource-type Microsoft.ContainerRegistry/registries --resource lazaret
says '' group delete -n made --yes
says '"nameAvailable": true' acr check-name -n second
says '"provisioningState": "Succeeded"' acr create -g default -n second --sku Basic
says '"second"' acr list
says '"second"' resource list -g default --resource-type Microsoft.ContainerRegistry/registries -n second
says '[]' resource list --tag nobody=x
says '"resourceGroup": "default"' acr show -n lazaret
says '"accessToken"' acr login -n lazaret --expose-token
says "\"$repository\"" acr repository list -n lazaret
says "$repository" acr repository show -n lazaret --repository "$repository"
says '"1"' acr repository show-tags -n lazaret --repository "$repository"
says '"digest"' acr manifest list-metadata -r lazaret -n "$repository"

says '' acr import -n lazaret --source "$repository:1" -r lazaret -t copied:1
says '' acr import -n lazaret --source "$repository:1" -r lazaret -t copied:1 --force
says '"copied"' acr repository list -n lazaret
says '"Succeeded"' acr webhook create -r second -n hooked --actions push --uri https://hooks.example/x
says '"hooked"' acr webhook list -r second
says '"serviceUri": "https://hooks.example/x"' acr webhook get-config -r second -n hooked
says '"disabled"' acr webhook update -r second -n hooked --status disabled
says '"id"' acr webhook ping -r second -n hooked
says '"ping"' acr webhook list-events -r second -n hooked
says '' acr webhook delete -r second -n hooked
says '"pullers"' acr scope-map create -r second -n pullers --repository copied content/read
says 'repositories/copied/metadata/read' acr scope-map update -r second -n pullers --add-repository copied metadata/read
says '"pullers"' acr scope-map list -r second
says '"username": "pipeline"' acr token create -r second -n pipeline --scope-map pullers
says '"username": "pipeline"' acr token credential generate -r second -n pipeline --password2
says '"disabled"' acr token update -r second -n pipeline --status disabled
says '"pipeline"' acr token list -r second
says '' acr token delete -r second -n pipeline --yes
says '' acr scope-map delete -r second -n pullers --yes
says '"docker.io/library/ubuntu"' acr cache create -r second -n ubuntu -s docker.io/library/ubuntu -t ubuntu
says '"ubuntu"' acr cache list -r second
says '"targetRepository": "ubuntu"' acr cache show -r second -n ubuntu
says '[]' acr credential-set list -r second
says '' acr cache delete -r second -n ubuntu --yes
says '"Size"' acr show-usage -n second

says '"ContainerRegistry"' security pricing list
says '"pricingTier": "Free"' security pricing create -n ContainerRegistry --tier free
says '"pricingTier": "Standard"' security pricing create -n ContainerRegistry --tier standard
says '"Standard"' security pricing show -n ContainerRegistry
says 'dbd0cb49-b563-45e7-9724-889e799fa648' security assessment list
says '"CVE-2024-1"' security sub-assessment list
registry=/subscriptions/$subscription/resourceGroups/default/providers/Microsoft.ContainerRegistry/registries/lazaret
says '"Unhealthy"' security sub-assessment list --assessed-resource-id "$registry" \
  --assessment-name dbd0cb49-b563-45e7-9724-889e799fa648

says '"AcrPull"' role definition list --name AcrPull
says '"principalId"' role assignment create --assignee-object-id "$client" --assignee-principal-type User \
  --role AcrPull --scope "$registry"
says '"AcrPull"' role assignment list --scope "$registry" --fill-principal-name false --fill-role-definition-name true
says 'AcrPull' rest --method get --url "$registry/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01"
says '"totalRecords"' rest --method post --url '/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01' \
  --body '{"query": "securityresources | summarize count() by type"}'
says '"enabled"' acr config soft-delete update -r lazaret --status enabled --days 5 --yes
digest=$("$az" acr manifest list-metadata -r lazaret -n "$repository" --query '[0].digest' -o tsv --only-show-errors)
says '' acr repository delete -n lazaret --image "$repository@$digest" --yes
says "\"$repository\"" acr repository list-deleted -n lazaret
says "$digest" acr manifest list-deleted -r lazaret -n "$repository"
says '"1"' acr manifest list-deleted-tags -r lazaret -n "$repository"
says "$digest" acr manifest restore -r lazaret -n "$repository:1" --yes
says '"1"' acr repository show-tags -n lazaret --repository "$repository"
says '' acr delete -n second --yes
says 'Microsoft.ContainerRegistry/registries/delete' monitor activity-log list -g default --offset 1h

# The directory: a program with a role, found by its name and its id, its secrets, and its end.
new() { "$az" "$@" --query '[appId, password]' -o tsv --only-show-errors; }
echo 'az ad sp create-for-rbac -n pipeline'
made=$(new ad sp create-for-rbac -n pipeline --role AcrPull --scopes "$registry")
app=$(echo "$made" | sed -n 1p) first=$(echo "$made" | sed -n 2p)
says "\"appId\": \"$app\"" ad sp list --display-name pipe
says '"displayName": "pipeline"' ad sp show --id "$app"
says "\"id\": \"$app\"" ad sp show --id pipeline
says '"displayName": "rbac"' ad sp credential list --id pipeline
says '"displayName": "pipeline"' ad app list --show-mine
says "$client" ad app owner list --id "$app"
says '"userPrincipalName": "admin"' ad user list
says '[]' ad group list
says '"principalName": "pipeline"' role assignment list --scope "$registry"
says "\"principalId\": \"$app\"" role assignment create --assignee pipeline --role AcrPush --scope "$registry"
says '"principalType": "ServicePrincipal"' role assignment create --assignee "$app" --role AcrDelete --scope "$registry"
says '"principalType": "User"' role assignment create --assignee "$client" --role AcrDelete --scope "$registry"
says '"AcrPush"' role assignment list --assignee pipeline --scope "$registry"
says '' role assignment delete --assignee pipeline --role AcrPush --scope "$registry"
pulls() {
  token=$(curl -sS --fail --cacert "$REQUESTS_CA_BUNDLE" -u "$app:$1" \
    "$server/token?service=lazaret&scope=repository:$repository:pull" | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -sS --fail -o "$AZURE_CONFIG_DIR/manifest" --cacert "$REQUESTS_CA_BUNDLE" -H "Authorization: Bearer $token" \
    -H 'Accept: */*' "$server/v2/$repository/manifests/1"
}
pulls "$first"
echo 'az ad sp credential reset --id pipeline'
second=$(new ad sp credential reset --id pipeline --append --display-name second | sed -n 2p)
pulls "$second"
key=$("$az" ad sp credential list --id pipeline --query "[?displayName=='second'].keyId" -o tsv --only-show-errors)
says '' ad sp credential delete --id pipeline --key-id "$key"
if pulls "$second" 2>"$AZURE_CONFIG_DIR/refused"; then
  echo 'a secret that was deleted is good' >&2
  exit 1
fi
echo 'az ad sp create-for-rbac -n pipeline, again'
third=$(new ad sp create-for-rbac -n pipeline --role AcrPull --scopes "$registry" | sed -n 2p)
echo 'az ad sp credential reset --id pipeline --append --create-cert'
pem=$(HOME=$AZURE_CONFIG_DIR "$az" ad sp credential reset --id pipeline --append --create-cert \
  --query fileWithCertAndPrivateKey -o tsv --only-show-errors)
says 'AsymmetricX509Cert' ad sp credential list --id pipeline --cert
says '' logout
echo 'az login --service-principal, as pipeline'
"$az" login --service-principal -u "$app" -p "$third" --tenant "$tenant" --only-show-errors >"$AZURE_CONFIG_DIR/signed-in"
says '"accessToken"' account get-access-token
pulls "$third"
says '"displayName": "pipeline"' ad sp show --id "$app"
says '' logout
says '"state": "Enabled"' login --service-principal -u "$app" --certificate "$pem" --tenant "$tenant"
says '' logout
says '"state": "Enabled"' login --service-principal -u "$client" -p "$secret" --tenant "$tenant"
says '' ad sp delete --id pipeline
says '[]' ad sp list --display-name pipeline

[ "${8:-}" ] || exit 0
name=$8 password=$9
echo 'az login --use-device-code'
said=$AZURE_CONFIG_DIR/device-code jar=$AZURE_CONFIG_DIR/cookies
says '' logout
"$az" login --use-device-code --tenant "$tenant" >"$AZURE_CONFIG_DIR/signed-in" 2>"$said" &
login=$!
code=
for _ in $(seq 60); do
  code=$(grep -oE '[A-Z]{4}-[A-Z]{4}' "$said" || true)
  [ "$code" ] && break
  sleep 1
done
page() { curl -sS --fail --cacert "$REQUESTS_CA_BUNDLE" "$@" "$server/devicelogin"; }
token=$(page -c "$jar" | grep -oE 'name=token value="[^"]*"' | cut -d'"' -f2)
page -b "$jar" -o "$AZURE_CONFIG_DIR/page" --data-urlencode "token=$token" --data-urlencode "user_code=$code" \
  --data-urlencode "username=$name" --data-urlencode "password=$password"
wait $login
grep -q "\"name\": \"$name\"" "$AZURE_CONFIG_DIR/signed-in"
says '"lazaret"' acr list
says '"accessToken"' account get-access-token
says "\"userPrincipalName\": \"$name\"" ad signed-in-user show

[ "${10:-}" ] || exit 0
says '' logout
says '"state": "Enabled"' login --service-principal -u "$client" --certificate "${10}" --tenant "$tenant"
says '"lazaret"' acr list
