# SPDX-License-Identifier: Apache-2.0
# Namespaces delete cleanly while we serve: discovery of the group never fails the namespace controller.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
k create namespace short-lived
k -n short-lived create configmap something --from-literal=a=b
k delete namespace short-lived --wait=false
gone() { ! k get namespace short-lived >/dev/null 2>&1; }
wait_for 90 "the namespace is gone" gone
k api-resources --api-group=metrics.k8s.io
