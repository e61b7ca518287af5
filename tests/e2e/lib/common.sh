# SPDX-License-Identifier: Apache-2.0
# What the e2e cases share (sourced). LAB: the cluster's folder. KMETRICSD: the binary under test.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cluster=$here/lab/cluster
LAB=${LAB:?the cluster of the e2e tests: tests/e2e/run sets it}
KMETRICSD=${KMETRICSD:?the binary under test}
ini=$LAB/opt/kubernetes/cfg/kmetricsd.ini
daemon_log=$LAB/log/kmetricsd.log
RESOLUTION=5 # seconds, metric-resolution in $ini

# In the cluster's network, as its administrator.
inside() { "$cluster" exec "$LAB" "$@"; }
k() { inside kubectl "$@"; }
kmetricsd() { inside "$KMETRICSD" "$@"; }

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	return 1
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds; prints how long it took.
wait_for() {
	local limit=$1 what=$2 start=$SECONDS
	shift 2
	until ("$@") >/dev/null 2>&1; do
		if [ $((SECONDS - start)) -ge "$limit" ]; then
			fail "not within $limit s: $what"
			echo "--- last try: $*" >&2
			("$@") >&2 || true
			echo "--- end of the daemon's log" >&2
			tail -n 25 "$daemon_log" >&2
			return 1
		fi
		sleep 0.2
	done
	printf 'after %3d s: %s\n' $((SECONDS - start)) "$what"
}

# Succeeds when the pattern is in the daemon's log behind line number FROM.
logged_since() { tail -n "+$(($1 + 1))" "$daemon_log" | grep -qE -- "$2"; }
log_lines() { wc -l <"$daemon_log"; }

daemon_pid() { cat "$LAB/pids/kmetricsd"; }

metrics() { k get --raw "/apis/metrics.k8s.io/v1beta1/$1"; }
has_node() { metrics "nodes/$1" >/dev/null; }
lacks_node() { ! metrics "nodes/$1" >/dev/null 2>&1 && ! metrics nodes | jq -e --arg n "$1" '.items[] | select(.metadata.name == $n)' >/dev/null; }

# burn NAME REPLICAS "PERCENT MIB": a Deployment that uses that much CPU a pod
burn() {
	load "$1" "$3"
	NAME=$1 REPLICAS=$2 LOAD_DIR=$LAB/load envsubst <"$here/manifests/burn.yaml" | k apply -f -
}
load() {
	mkdir -p "$LAB/load"
	echo "$2" >"$LAB/load/$1.tmp"
	mv "$LAB/load/$1.tmp" "$LAB/load/$1"
}
unburn() { k delete deployment "$1" --ignore-not-found --wait=true; }
ready_pods() { k get deployment "$1" -o 'jsonpath={.status.readyReplicas}'; }
has_ready_pods() { [ "$(ready_pods "$1")" = "$2" ]; }
pods_have_metrics() { [ "$(k get --raw "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3D$1" | jq '.items | length')" = "$2" ]; }
