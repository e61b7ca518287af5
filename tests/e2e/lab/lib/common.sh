# SPDX-License-Identifier: Apache-2.0
# Names, paths, messages and waiting, for `cluster` and its parts. Everything about a lab follows from its folder DIR, so
# that what a crash has left behind is found again from DIR alone.

NODE_NAME=node1
NODE_IP=10.99.0.1
NODE_NET=10.99.0.0/24
SERVICE_NET=10.1.0.0/16
SERVICE_IP=10.1.0.1
POD_NET=10.2.0.0/24
# in the order of starting; stopped in the opposite one
COMPONENTS=(etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet)

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
started_at=$EPOCHREALTIME

# use_dir DIR: sets the variables that name one lab
use_dir() {
	DIR=$(realpath -m -- "$1")
	local hash
	hash=$(printf %s "$DIR" | sha256sum)
	NAME=km-${hash:0:8} # network namespace, cgroup, CNI network
	netns=/run/netns/$NAME
	marker=$DIR/.kmetricsd-lab
	kube=$DIR/opt/kubernetes
	ssl=$kube/ssl
	cfg=$kube/cfg
	pids=$DIR/pids
	log=$DIR/log
	containerd_socket=$DIR/run/containerd.sock
	export DIR
}

elapsed() {
	local now=$EPOCHREALTIME us
	us=$((${now/./} - ${started_at/./}))
	printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10))
}

say() { printf 'cluster: %5s s  %s\n' "$(elapsed)" "$*" >&2; }

die() {
	printf 'cluster: %s\n' "$*" >&2
	exit 1
}

# poll SECONDS COMMAND...: runs COMMAND until it succeeds; fails when it has not within SECONDS. Its output is thrown away,
# in a subshell, so that a trap that is taken meanwhile still speaks to the terminal.
poll() {
	local end=$((SECONDS + $1))
	shift
	until ("$@") >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# The programs in the lab neither see nor need the caller's proxies: nothing outside the namespace can be reached.
no_proxy=(-u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY -u all_proxy -u ALL_PROXY)

# in_net COMMAND...: in the lab's network, otherwise on the host. Not `ip netns exec`: that remounts /sys without the cgroups.
in_net() { nsenter "--net=$netns" -- env "${no_proxy[@]}" "$@"; }
