# SPDX-License-Identifier: Apache-2.0
# The simulator does not drift into fiction: the same requests to the real kube-apiserver and to kmsim, compared reply by reply.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
out=$LAB/sim
kmsim=$(dirname "$KMETRICSD")/kmsim
burn compare 1 "5 16"
wait_for 90 "one pod runs" has_ready_pods compare 1
inside "$kmsim" --nodes 2 --autoscaling v2beta2,v1 --deployment default/compare:replicas=1 --out "$out" >"$LAB/sim.log" 2>&1 &
sim=$!
trap 'kill $sim; wait $sim || true; unburn compare' EXIT
wait_for 20 "the simulator is ready" grep -q '^kmsim ready' "$LAB/sim.log"
port=$(sed -n 's/^kmsim ready: .*127.0.0.1:\([0-9]*\),.*/\1/p' "$LAB/sim.log")
ssl=$LAB/opt/kubernetes/ssl
inside python3 "$here/../sim/compare" "127.0.0.1:6443,$ssl/ca.pem,$ssl/admin.pem,$ssl/admin-key.pem" "127.0.0.1:$port,$out/ca.pem,$out/client.pem,$out/client-key.pem"
